# Sourced, not run, by what builds images: exports what scripts/engine.sh settled on, unless the user
# has named something else.
#
# BASE: the base image. PIP_CONFIG_FILE: pip's settings of this machine, which a build sees as a
# secret, so that a password in them is in no layer of an image.
# shellcheck shell=bash
if [ -z "${BASE:-}" ] && [ -r .cache/base ]; then BASE=$(cat .cache/base); fi
if [ -z "${PIP_CONFIG_FILE:-}" ] && [ -s .cache/pip.conf ]; then PIP_CONFIG_FILE=$PWD/.cache/pip.conf; fi
export ${BASE:+BASE} ${PIP_CONFIG_FILE:+PIP_CONFIG_FILE}
