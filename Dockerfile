# Two images from one file:  base -> jobs -> master | worker
#
# This file uses only what every BuildKit since Docker 20.10 knows: it has no here-documents, and no
# "syntax" line, which would need a registry. The lock files have the hash of each package, so pip
# installs no other file. The build machine's pip settings may have a password in them, so each step
# sees them as the secret `pip`.

# Where no registry can be reached, `make up` passes a stand-in with the same Python.
ARG BASE=python:3.13-slim-trixie


# ---- base: what both programs run on
FROM ${BASE} AS base

ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# The official image has no compiled modules, and a container with a read-only root can keep none.
# Without this step each slot would compile the standard library again at its start.
RUN python -m compileall -q -j 0 \
        -x '/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|site-packages|dist-packages)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# Docker gives a new named volume the owner of the folder that it is mounted over.
RUN groupadd --gid 1000 quartermaster \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp quartermaster \
    && mkdir -p /app/jobs /shared /data /key /environments /backup \
    && chmod 700 /key \
    && chown 1000:1000 /shared /data /key /environments /backup

WORKDIR /app
COPY requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip install -r requirements.lock


# ---- jobs: what jobs import. The master needs it too, because its runners import the job.
FROM base AS jobs

COPY jobs/requirements.txt jobs/images.lock jobs/logs.lock jobs/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip install -r jobs/images.lock -r jobs/logs.lock
# The user's packages need no hashes. The constraint file keeps them from replacing a package that
# is installed already by another version.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip freeze >/tmp/installed \
    && pip install -r jobs/requirements.txt -c /tmp/installed \
    && rm /tmp/installed

COPY queue_manager queue_manager
COPY jobs jobs

ENV QUEUE_HOST=master \
    QUEUE_ENVIRONMENTS=/environments
STOPSIGNAL SIGTERM


# ---- master
FROM jobs AS master

COPY master master
# After a clone with a umask of 077 the container's user could not read these files without chmod.
RUN printf '#!/bin/sh\nexec python -m master "$@"\n' >/usr/local/bin/qm \
    && chmod 755 /usr/local/bin/qm \
    && chmod -R a+rX /app \
    && python -m compileall -q /app

ENV QUEUE_BIND=0.0.0.0 \
    HTTP_BIND=0.0.0.0 \
    MASTER_DATA=/data
USER 1000:1000
EXPOSE 5000 8080
CMD ["python", "-m", "master", "serve"]


# ---- worker: has no copy of master/
FROM jobs AS worker

COPY worker worker
RUN chmod -R a+rX /app \
    && python -m compileall -q /app

USER 1000:1000
CMD ["python", "-m", "worker"]
