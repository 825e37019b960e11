# Scripts that build images source this file. It exports two settings that scripts/engine.sh chose,
# unless the user has set them:
#
# BASE: the base image.
# PIP_CONFIG_FILE: this machine's pip settings. A build sees them as a secret, so that no layer of an
#   image has the password that may be in them.
# shellcheck shell=bash
if [ -z "${BASE:-}" ] && [ -r .cache/base ]; then BASE=$(cat .cache/base); fi
if [ -z "${PIP_CONFIG_FILE:-}" ] && [ -s .cache/pip.conf ]; then PIP_CONFIG_FILE=$PWD/.cache/pip.conf; fi
# `export` without a name would print the whole environment, keys included.
if [ -n "${BASE:-}" ]; then export BASE; fi
if [ -n "${PIP_CONFIG_FILE:-}" ]; then export PIP_CONFIG_FILE; fi
