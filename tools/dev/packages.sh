# shellcheck shell=sh disable=SC2154,SC2034,SC2016 # ./dev sets $root and reads what is found; apt and pkg-config expand
# Read by ./dev.  Which system packages each task needs, and the two libraries that Debian 12 lacks.
# Everything here asks first and acts only on what is missing.

packages_for() {
    case $1 in
        build)
            echo gcc libc6-dev meson ninja-build pkg-config python3 ca-certificates curl libuv1-dev libwslay-dev \
                libsqlite3-dev libssl-dev libpcre2-dev libutf8proc-dev libcurl4-openssl-dev
            ;;
        test) echo libcmocka-dev ;;
        bench) echo nginx wrk ;;
        fuzz) echo clang ;;
        fmt) echo clang-format git ;;
        fresh) echo debootstrap curl git ;;
        container) echo debootstrap git ;;
    esac
}

# missing_of PACKAGE...: those that are not installed.  A virtual name (pkg-config on new releases) counts as
# installed when a package provides it.
missing_of() {
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
        sed -n 's/^installed //p' | tr -d ',' | tr '\n' ' ')
    for package in "$@"; do
        case " $installed " in
            *" $package "*) ;;
            *) echo "$package" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

apt_get() { as_root apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"; }

# update_lists: once in a run, and only when somebody needs it.
updated=
update_lists() {
    [ -z "$updated" ] || return 0
    updated=yes
    say "reading the package lists (apt-get update)"
    apt_get -qq update || say "apt-get update failed; trying with the lists that are here"
}

# may_install PACKAGE...: stops with the one command to run when this user cannot install.
may_install() {
    [ "$(id -u)" -eq 0 ] && return 0
    command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; } && return 0
    die "packages are missing; as root run: apt-get update && apt-get install -y $*"
}

install() {
    may_install "$@"
    # shellcheck disable=SC2086
    apt-cache show --no-all-versions "$@" >/dev/null 2>&1 || update_lists
    say "installing $*"
    start=$(date +%s)
    if ! apt_get install -y -qq --no-install-recommends "$@" </dev/null >build/apt.log 2>&1; then
        update_lists # the lists may have been older than the archive
        if ! apt_get install -y -qq --no-install-recommends "$@" </dev/null >build/apt.log 2>&1; then
            tail -n 20 build/apt.log >&2
            die "could not install; as root run: apt-get update && apt-get install -y $*"
        fi
    fi
    took "$start" installed
}

# need_packages TASK...
need_packages() {
    names=$(for task in "$@"; do packages_for "$task"; done)
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        need_commands
        return 0
    fi
    # shellcheck disable=SC2086 # names are words
    missing=$(missing_of $names | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    mkdir -p build
    had_nginx=$(command -v nginx || true)
    # shellcheck disable=SC2086
    install ${missing% }
    # Only its program is wanted, not a web server on port 80.
    if [ -z "$had_nginx" ] && [ -d /run/systemd/system ] && command -v nginx >/dev/null; then
        as_root systemctl disable --now nginx >/dev/null 2>&1 || true
    fi
}

# Other systems: their own package manager is the user's; what the build needs is named once.
need_commands() {
    for tool in cc meson ninja pkg-config python3; do
        command -v "$tool" >/dev/null ||
            die "no '$tool' here, and no apt-get; install a C compiler, meson, ninja, pkg-config, python3 and the" \
                "development files of libuv, llhttp, wslay, yyjson, openssl, sqlite3, pcre2, utf8proc, libcurl, cmocka"
    done
}

# find_libraries: sets deps_pkgconfig (a folder for pkg-config, or nothing) and deps_rpath (where the program finds
# libyyjson at run time, or nothing).  The system's own packages come first.
find_libraries() {
    deps=$root/build/deps
    deps_pkgconfig=${PKG_CONFIG_PATH:-}
    deps_rpath=
    if ! pkg-config --exists libllhttp yyjson; then
        if [ ! -f "$deps/lib/pkgconfig/yyjson.pc" ] || [ ! -f "$deps/lib/libllhttp.a" ]; then
            if system_has_libraries; then
                install libyyjson-dev libllhttp-dev
            else
                fetch_libraries
            fi
        fi
        if [ -d "$deps/lib/pkgconfig" ] && ! pkg-config --exists libllhttp yyjson; then
            deps_pkgconfig=$deps/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
        fi
    fi
    libdir=$(PKG_CONFIG_PATH=$deps_pkgconfig pkg-config --variable=libdir yyjson)
    case $libdir in
        /usr/lib | /usr/lib/* | /lib/* | /usr/lib64) ;;
        *) deps_rpath=$(cd "$libdir" && pwd -P) ;;
    esac
}

system_has_libraries() {
    command -v apt-cache >/dev/null || die "llhttp and yyjson are missing; install their development files"
    [ -n "$(apt-cache show gcc 2>/dev/null)" ] || update_lists
    [ -n "$(apt-cache show libyyjson-dev 2>/dev/null)" ] && [ -n "$(apt-cache show libllhttp-dev 2>/dev/null)" ]
}

# Debian 12 has neither yyjson nor llhttp, and Debian 13's packages of both need nothing newer than its C library.
# apt's own client fetches those four, with signatures checked, over lists and a cache that live in a private
# folder: nothing of the system changes.
fetch_libraries() {
    case $(dpkg --print-architecture) in
        amd64 | arm64 | armhf | i386 | ppc64el | riscv64 | s390x) ;;
        *) die "Debian 13 has no llhttp and yyjson for $(dpkg --print-architecture); install both from source" ;;
    esac
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || install debian-archive-keyring
    say "fetching libyyjson and libllhttp of Debian 13 into build/deps (the system does not have them)"
    start=$(date +%s)
    work=$root/build/deps-work.$$
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    for mirror in $(system_mirror) http://deb.debian.org/debian; do
        if fetch_from "$mirror"; then
            rm -rf "$deps"
            mv "$work/deps" "$deps"
            rm -rf "$work"
            trap - EXIT HUP INT TERM
            took "$start" fetched
            return 0
        fi
    done
    tail -n 5 "$work/log" >&2
    die "could not fetch libyyjson and libllhttp of Debian 13; is the package archive within reach?" \
        "(an old keyring is renewed by: apt-get install debian-archive-keyring)"
}

# The archive that this system itself uses.
system_mirror() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's#^\(http[^ ]*[^/ ]\)/* Debian [a-z]*$#\1#p' | grep -v security | head -n 1
}

# fetch_from MIRROR: leaves $work/deps/{include,lib} or fails.  apt gets one configuration file: the system's (proxies
# and the like) without its hooks, and every folder private.
fetch_from() {
    rm -rf "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/unpacked" "$work/deps"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $1 trixie main" >"$work/sources.list"
    apt-config dump | grep -vE 'Invoke|^Dir::(Etc|State|Cache)' >"$work/apt.conf"
    cat >>"$work/apt.conf" <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
    (
        cd "$work"
        export APT_CONFIG="$work/apt.conf"
        apt-get -q update && apt-get -q download libyyjson0 libyyjson-dev libllhttp9.2 libllhttp-dev
    ) >"$work/log" 2>&1 || return 1
    for archive in "$work"/*.deb; do dpkg -x "$archive" "$work/unpacked" || return 1; done
    mv "$work/unpacked/usr/include" "$work/deps/include" && mv "$work"/unpacked/usr/lib/*/ "$work/deps/lib" || return 1
    # Relative to the file itself, so that the project's folder can be moved.
    sed -i -e 's#^prefix=.*#prefix=${pcfiledir}/../..#' -e 's#^exec_prefix=.*#exec_prefix=${prefix}#' \
        -e 's#^libdir=.*#libdir=${prefix}/lib#' -e 's#^includedir=.*#includedir=${prefix}/include#' \
        "$work"/deps/lib/pkgconfig/*.pc
    PKG_CONFIG_PATH=$work/deps/lib/pkgconfig pkg-config --exists libllhttp yyjson
}
