# Scripts that run uv source this file. uv does not read pip's settings, so this file tells uv where
# this machine's pip finds packages: at a mirror, perhaps, or behind a proxy with its own certificates.
# uv's own variables come first, where the user has set them.
# shellcheck shell=bash

# pass_on SETTING VARIABLE: exports a setting of pip as a variable of uv, unless the user has set that.
pass_on() {
    local section value=
    # In pip the section of the command comes before the global one, and a variable before both.
    for section in :env: install global; do
        [ -n "$value" ] || value=$(sed -n "s/^$section\.$1='\(.*\)'\$/\1/p" <<<"$pip_settings")
    done
    # pip prints the newline before each of several values as \n; uv has spaces between them.
    value=${value#\\n}
    if [ -n "$value" ] && [ -z "${!2:-}" ]; then export "$2=${value//\\n/ }"; fi
}

# use_pip_settings PYTHON: passes on the settings of this Python's pip.
use_pip_settings() {
    local pip_settings
    pip_settings=$("$1" -m pip config list 2>/dev/null) || true
    [ -n "${UV_INDEX_URL:-}" ] || pass_on index-url UV_DEFAULT_INDEX
    pass_on extra-index-url UV_INDEX
    pass_on cert SSL_CERT_FILE
    export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1}
}
