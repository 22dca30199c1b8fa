#!/usr/bin/env bash
# Makes .venv: pip, everything in requirements/dev.txt (by hash), and every package of this repository, editable.
#
# With the word `browser` it sees to Debian's Chromium instead, which only the tests of pages need.
#
# PYTHON names the interpreter to use; without it the first one found that is new enough and can make environments.
# On a Debian without one, what is missing is installed by apt-get where that is allowed, and named where it is not.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

new_enough() { "$1" -c 'import sys, ssl, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null; }
has_pip() { "$1" -c 'import ensurepip' >/dev/null 2>&1 </dev/null; }

candidates() {
    if [ -n "${PYTHON:-}" ]; then
        printf '%s\n' "$PYTHON"
        return
    fi
    printf '%s\n' python3 python3.13 python3.12 python3.11 /usr/bin/python3
    # A version manager's shims may refuse to run; what they stand for does not.
    for path in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-3].*/bin/python; do
        [ -x "$path" ] && printf '%s\n' "$path"
    done
    return 0
}

find_python() { # with a test's name: the first candidate that is new enough and passes it
    local python
    while IFS= read -r python; do
        if new_enough "$python" && "$1" "$python"; then
            printf '%s\n' "$python"
            return
        fi
    done < <(candidates)
    return 1
}

apt_install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    command -v apt-get >/dev/null || die "needs Python 3.11 or newer with venv and ensurepip (PYTHON=/path/to/python)"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || die "needs a package: sudo apt-get install $*"
        apt=(sudo -n "${apt[@]}")
    fi
    say "apt-get install $*"
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; } </dev/null >&2 ||
        die "apt-get could not install: $*"
}

make_venv() {
    local python
    if ! python=$(find_python has_pip); then
        if [ -n "${PYTHON:-}" ] && ! new_enough "$PYTHON"; then
            die "$PYTHON is not Python 3.11 or newer with ssl and venv"
        fi
        if python=$(find_python true); then
            # Debian keeps ensurepip in a package of its own, one for each Python.
            apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        else
            apt_install python3 python3-venv
        fi
        hash -r
        python=$(find_python has_pip) || die "needs Python 3.11 or newer with venv and ensurepip (PYTHON=/path/to/python)"
    fi
    say "making .venv with $("$python" -c 'import sys; print("Python %d.%d.%d" % sys.version_info[:3])')"
    rm -rf .venv
    "$python" -m venv .venv
}

pip() { # quiet, unless it fails
    .venv/bin/python -m pip "$@" </dev/null >.venv/setup.log 2>&1 ||
        { tail -n 40 .venv/setup.log >&2; die "pip $1 failed (all it said is in .venv/setup.log)"; }
}

ensure_browser() { # the tests of pages drive Debian's Chromium; without it they are deselected, and said to be
    command -v chromium >/dev/null && return
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; }; then
        say "no chromium: the tests of pages will be deselected (sudo apt-get install chromium)"
        return
    fi
    apt_install chromium
}

if [ "${1:-}" = browser ]; then
    ensure_browser
    exit
fi

# .stamp is written last and says which directory .venv belongs to: without it, or for another directory, begin anew.
if [ "$(cat .venv/.stamp 2>/dev/null)" != "$PWD" ] || ! new_enough .venv/bin/python; then
    make_venv
fi
rm -f .venv/.stamp
pip install --require-hashes -r requirements/dev.txt
editable=(--editable .)
for project in providers/*/pyproject.toml examples/*/pyproject.toml; do
    editable+=(--editable "${project%/pyproject.toml}")
done
pip install --no-deps --no-build-isolation "${editable[@]}"
printf '%s\n' "$PWD" >.venv/.stamp
