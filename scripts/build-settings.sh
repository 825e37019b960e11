# Scripts that build images source this file. It exports settings that scripts/engine.sh and
# scripts/postgres-image.sh chose, unless the user has set them:
#
# BASE: the base image.
# PIP_CONFIG_FILE: this machine's pip settings. A build sees them as a secret, so that no layer of an
#   image has the password that may be in them.
# POSTGRES_IMAGE: the image of the database in deploy/postgres.yml.
# shellcheck shell=bash
if [ -z "${BASE:-}" ] && [ -r .cache/base ]; then BASE=$(cat .cache/base); fi
if [ -z "${PIP_CONFIG_FILE:-}" ] && [ -s .cache/pip.conf ]; then PIP_CONFIG_FILE=$PWD/.cache/pip.conf; fi
if [ -z "${POSTGRES_IMAGE:-}" ] && [ -r .cache/postgres-image ]; then POSTGRES_IMAGE=$(cat .cache/postgres-image); fi
# `export` without a name would print the whole environment, keys included.
if [ -n "${BASE:-}" ]; then export BASE; fi
if [ -n "${PIP_CONFIG_FILE:-}" ]; then export PIP_CONFIG_FILE; fi
if [ -n "${POSTGRES_IMAGE:-}" ]; then export POSTGRES_IMAGE; fi
