#!/bin/sh
# ./dev test fresh [bookworm|trixie]: the README's two commands on systems that have nothing but git and a shell.
#
# Each system is a debootstrap folder below build/fresh, unpacked from an archive that is kept for the next time,
# with a clone of the committed tree.  Debian 12 works as root, Debian 13 as a plain user with sudo.  `./dev run`
# must answer /health and one chat request and end on SIGTERM, then `./dev test` must pass.  Everything happens in
# mount and process namespaces of its own, so nothing stays mounted or running, whatever goes wrong.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
cd "$root"

say() { printf 'fresh: %s\n' "$*"; }
die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

RUN_WAIT_S=1200  # from ./dev run to the first answer: installing and building on a slow machine
CHAT_WAIT_S=120
STOP_WAIT_S=60

# unpack SUITE FOLDER: a minimal system with git.
unpack() {
    archive=build/fresh/$1.tar
    if [ ! -f "$archive" ]; then
        say "$1: debootstrap"
        rm -rf "$2"
        debootstrap --variant=minbase --include=git "$1" "$2" "${SEMA_FRESH_MIRROR:-http://deb.debian.org/debian}" \
            >"build/fresh/$1-debootstrap.log" 2>&1 || die "debootstrap failed: build/fresh/$1-debootstrap.log"
        rm -rf "$2"/var/cache/apt/archives/*.deb
        tar -C "$2" -cf "$archive.part" . && mv "$archive.part" "$archive"
    else
        rm -rf "$2"
        mkdir -p "$2"
        tar -C "$2" -xf "$archive"
    fi
}

# prepare SUITE FOLDER: the clone, names of the network, and for trixie a user that may use sudo.
prepare() {
    home=$2/root
    if [ "$1" = trixie ]; then
        chroot "$2" sh -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends sudo && useradd -m -s /bin/sh newcomer &&
            echo "newcomer ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/newcomer' >"build/fresh/$1-sudo.log" 2>&1 ||
            die "could not install sudo: build/fresh/$1-sudo.log"
        home=$2/home/newcomer
    fi
    git clone -q --no-hardlinks "file://$root" "$home/sema"
    [ "$1" != trixie ] || chroot "$2" chown -R newcomer:newcomer /home/newcomer
}

# inside SUITE FOLDER COMMAND: replaces the shell, so that its pid is the command's.
inside() {
    if [ "$1" = trixie ]; then
        who=$(chroot "$2" id -u newcomer)
        exec chroot --userspec="$who:$who" "$2" env -i HOME=/home/newcomer PATH=/usr/local/bin:/usr/bin:/bin \
            PORT="$port" sh -c "cd ~/sema && exec $3"
    fi
    exec chroot "$2" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        PORT="$port" sh -c "cd ~/sema && exec $3"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

status_of() { curl -s --noproxy '*' -o "$answer" -w '%{http_code}' --max-time "$CHAT_WAIT_S" "$@" || true; }

prove_run() {
    say "$1: ./dev run"
    log=build/fresh/$1-run.log
    answer=build/fresh/$1-answer.json
    port=$(free_port)
    start=$(date +%s)
    (inside "$1" "$2" './dev run') >"$log" 2>&1 </dev/null &
    pid=$!
    until [ "$(status_of "http://127.0.0.1:$port/health")" = 200 ]; do
        kill -0 "$pid" 2>/dev/null || { tail -n 30 "$log"; die "$1: ./dev run ended"; }
        [ $(($(date +%s) - start)) -lt "$RUN_WAIT_S" ] || { tail -n 30 "$log"; die "$1: no /health"; }
        sleep 1
    done
    say "$1: /health answers after $(($(date +%s) - start)) s"
    code=$(status_of -H 'Content-Type: application/json' -d '{"message": "How do I set the port?", "session_id": "fresh"}' \
        "http://127.0.0.1:$port/api/v1/chat")
    say "$1: chat: $code $(head -c 300 "$answer")"
    [ "$code" = 200 ] || { tail -n 30 "$log"; die "$1: chat answered $code"; }
    kill -TERM "$pid"
    start=$(date +%s)
    while kill -0 "$pid" 2>/dev/null && [ $(($(date +%s) - start)) -lt "$STOP_WAIT_S" ]; do sleep 1; done
    ended=0
    kill -0 "$pid" 2>/dev/null && die "$1: still running $STOP_WAIT_S s after SIGTERM"
    wait "$pid" || ended=$?
    [ "$ended" -eq 0 ] || { tail -n 30 "$log"; die "$1: exit status $ended after SIGTERM"; }
}

prove_test() {
    say "$1: ./dev test"
    log=build/fresh/$1-test.log
    port=0
    start=$(date +%s)
    ended=0
    (
        unset port
        port=7860
        inside "$1" "$2" './dev test'
    ) >"$log" 2>&1 </dev/null || ended=$?
    say "$1: $(tail -n 1 "$log") ($(($(date +%s) - start)) s)"
    [ "$ended" -eq 0 ] || { tail -n 60 "$log"; die "$1: ./dev test ended with status $ended"; }
}

# A second call installs, fetches and builds nothing.
prove_nothing_twice() {
    log=build/fresh/$1-again.log
    (
        port=7860
        inside "$1" "$2" './dev build'
    ) >"$log" 2>&1 </dev/null || die "$1: ./dev build: $(tail -n 3 "$log")"
    [ ! -s "$log" ] || die "$1: a second ./dev build did something: $(head -n 3 "$log")"
}

# Runs in namespaces of its own; leaves no mounts because they end with it.
in_namespace() {
    suite=$1
    folder=$root/build/fresh/$suite
    unpack "$suite" "$folder"
    cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
    mount -t proc proc "$folder/proc"
    mkdir -p "$folder/dev/shm"
    mount -t tmpfs tmpfs "$folder/dev/shm"
    prepare "$suite" "$folder"
    prove_run "$suite" "$folder"
    prove_test "$suite" "$folder"
    prove_nothing_twice "$suite" "$folder"
}

if [ "${1:-}" = --in-namespace ]; then
    in_namespace "$2"
    exit
fi

[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do
    case $suite in
        bookworm | trixie) ;;
        *) die "unknown system '$suite'; one of bookworm, trixie" ;;
    esac
done
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "./dev test fresh makes systems of its own: run it as root"
    exec sudo sh "$0" "$@"
fi
. tools/dev/packages.sh
need_packages fresh
mkdir -p build/fresh
passed=0
failed=0
for suite in "$@"; do
    if unshare --mount --pid --fork --kill-child sh "$0" --in-namespace "$suite"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    rm -rf "build/fresh/${suite:?}"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
