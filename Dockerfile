# Two images from one file:  base -> jobs -> master | worker
#
# Kept to what every BuildKit since Docker 20.10 knows: no here-documents, no "syntax" line (it
# would need a registry). Locks have the hash of each package, so pip takes no other file.
# pip's settings of the machine that builds are a secret `pip`: they may have a password in them.

# `make up` passes a stand-in of the same Python where no registry can be reached.
ARG BASE=python:3.13-slim-trixie


# ---- what both programs run on
FROM ${BASE} AS base

ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# The official image comes without compiled modules, and on a read-only root none would ever
# be kept: each slot would compile the standard library again at its start.
RUN python -m compileall -q -j 0 \
        -x '/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|site-packages|dist-packages)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# A named volume takes its owner from the folder it is first mounted over.
RUN groupadd --gid 1000 quartermaster \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp quartermaster \
    && mkdir -p /app/jobs /shared /data /key \
    && chmod 700 /key \
    && chown 1000:1000 /shared /data /key

WORKDIR /app
COPY requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip install -r requirements.lock


# ---- what jobs import; the runner in the master imports them too
FROM base AS jobs

COPY jobs/requirements.txt jobs/images.lock jobs/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip install -r jobs/images.lock
# What is here already is a constraint: a user's packages, which need no hashes, cannot replace ours
# by another version.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip freeze >/tmp/installed \
    && pip install -r jobs/requirements.txt -c /tmp/installed \
    && rm /tmp/installed

COPY queue_manager queue_manager
COPY jobs jobs

ENV QUEUE_HOST=master
STOPSIGNAL SIGTERM


# ---- the master
FROM jobs AS master

COPY master master
# chmod, for whoever cloned with a umask of 077.
RUN printf '#!/bin/sh\nexec python -m master "$@"\n' >/usr/local/bin/qm \
    && chmod 755 /usr/local/bin/qm \
    && chmod -R a+rX /app \
    && python -m compileall -q /app

ENV QUEUE_BIND=0.0.0.0 \
    MASTER_DATA=/data
USER 1000:1000
EXPOSE 5000
CMD ["python", "-m", "master", "serve"]


# ---- a worker: has no copy of master/
FROM jobs AS worker

COPY worker worker
RUN chmod -R a+rX /app \
    && python -m compileall -q /app

USER 1000:1000
CMD ["python", "-m", "worker"]
