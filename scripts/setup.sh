# Sourced by run and test: finds Python, makes the virtual environment, makes sure a Docker engine answers.
# POSIX shell. Expects ROOT (the checkout) and EXTRAS (optional dependency groups) to be set.

VENV="${MKUBE_VENV:-$ROOT/.venv}"
ENGINE_PID=""
ENGINE_LOG="${TMPDIR:-/tmp}/mkube-dockerd.$$.log"

say() { printf '%s\n' "$*" >&2; }
fail() { say "mkube: $*"; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
has() { command -v "$1" >/dev/null 2>&1; }

apt_updated=""
apt_install() {
    is_root && has apt-get || return 1
    say "mkube: installing $* (Debian packages)"
    if [ -z "$apt_updated" ]; then
        apt-get update -qq >/dev/null 2>&1 || true
        apt_updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

is_recent_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if has "$candidate" && is_recent_python "$candidate"; then
            PYTHON_FOUND="$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    find_python || { apt_install python3 python3-venv && find_python; } ||
        fail "Python 3.11 or newer is needed: install it and run this again."
    stamp="$VENV/.mkube-$(printf '%s' "$EXTRAS" | tr ',' '-')"
    wanted="$(cksum <"$ROOT/pyproject.toml") $ROOT"
    if [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        compile_package
        return 0
    fi
    if [ ! -x "$VENV/bin/pip" ]; then
        if ! "$PYTHON_FOUND" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            version="$("$PYTHON_FOUND" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
            apt_install "python$version-venv" || apt_install python3-venv ||
                fail "Python's venv module is missing: install it (on Debian or Ubuntu: apt-get install python3-venv) and run this again."
        fi
        "$PYTHON_FOUND" -m venv "$VENV" || fail "could not make a virtual environment in $VENV."
    fi
    say "mkube: installing the package into $VENV (first run only)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$ROOT[$EXTRAS]" ||
        fail "installing the package failed: see pip's message above."
    printf '%s' "$wanted" >"$stamp"
    compile_package
}

# Starting from source text takes more than a third longer, and PYTHONDONTWRITEBYTECODE keeps Python from compiling.
compile_package() {
    compiled="$VENV/.mkube-compiled"
    if [ -f "$compiled" ] && [ -z "$(find "$ROOT/minikube_py" -name '*.py' -newer "$compiled" | head -n 1)" ]; then
        return 0
    fi
    touch "$VENV/.mkube-compiling" && "$VENV/bin/python" -m compileall -q -j 0 "$ROOT/minikube_py" &&
        mv "$VENV/.mkube-compiling" "$compiled" || rm -f "$VENV/.mkube-compiling"
}

engine_answers() {
    "$VENV/bin/python" -m minikube_py.cli.engine_check >/dev/null 2>&1
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        systemctl start docker >/dev/null 2>&1
    else
        setsid dockerd >"$ENGINE_LOG" 2>&1 </dev/null &
        ENGINE_PID=$!
    fi
    waited=0
    until engine_answers; do
        waited=$((waited + 1))
        [ "$waited" -le 60 ] || return 1
        sleep 0.5
    done
}

make_engine() {
    if engine_answers; then
        if is_root && ! has nft; then
            apt_install nftables || fail "nftables is missing: install it and run this again."
        fi
        return 0
    fi
    [ -z "${DOCKER_HOST:-}" ] || fail "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST: start it and run this again."
    if is_root && { has dockerd || has apt-get; }; then
        has dockerd && has nft || apt_install docker.io nftables iproute2 ||
            fail "installing docker.io and nftables failed: install Docker by hand and run this again."
        start_engine || fail "the Docker engine did not start: see $ENGINE_LOG (or run with --container-runtime fake)."
        return 0
    fi
    fail "no Docker engine answers: install and start Docker (or run with --container-runtime fake, which needs none)."
}

stop_started_engine() {
    [ -n "$ENGINE_PID" ] || return 0
    kill "$ENGINE_PID" 2>/dev/null || true
    waited=0
    while kill -0 "$ENGINE_PID" 2>/dev/null && [ "$waited" -lt 60 ]; do
        waited=$((waited + 1))
        sleep 0.5
    done
    rm -f "$ENGINE_LOG"
}
