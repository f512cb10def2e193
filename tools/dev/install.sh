# shellcheck shell=sh disable=SC2154 # ./dev sets $root and has say, die, configure, compile
# Read by ./dev.  install and uninstall: what goes where is said by meson (deploy/meson.build); here it is put into
# $DESTDIR$prefix, and a list of it is kept there, so that uninstall takes away exactly that, whoever calls it from where.

INSTALLED=lib/sema/installed # below the prefix: "f PATH" and "d PATH" lines, folders only where we made them

# install_words [PREFIX=DIR] [DESTDIR=DIR]: on the command line as in the environment.
install_words() {
    for word in "$@"; do
        case $word in
            PREFIX=* | --prefix=*) PREFIX=${word#*=} ;;
            DESTDIR=* | --destdir=*) DESTDIR=${word#*=} ;;
            *) die "unknown word '$word'; PREFIX=DIR and DESTDIR=DIR are known" ;;
        esac
    done
    prefix=${PREFIX:-/usr/local}
    case $prefix in
        /*) ;;
        *) die "PREFIX must be an absolute folder, not '$prefix'" ;;
    esac
    [ "$prefix" = / ] || prefix=${prefix%/}
    case ${DESTDIR:-/} in
        /*) ;;
        *) DESTDIR=$root/$DESTDIR ;;
    esac
    to=${DESTDIR:+${DESTDIR%/}}$prefix
}

# may_write FOLDER: it, or the nearest that exists, can be written.
may_write() {
    folder=$1
    while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
    [ -w "$folder" ] || die "cannot write to $folder; call it with sudo, or choose a place of yours: PREFIX=\$HOME/.local"
}

make_folder() { # PATH below the prefix, or nothing for the prefix itself
    [ ! -d "$to/$1" ] || return 0
    case $1 in
        */*) make_folder "${1%/*}" ;;
        '') ;;
        *) make_folder '' ;;
    esac
    mkdir -p "$to/$1" && chmod 755 "$to/$1"
    echo "d ${1:-.}" >>"$list"
}

cmd_install() {
    install_words "$@"
    need_packages build
    find_libraries
    # The same arithmetic as the tests ran (-O2), without what only a debugger reads.
    configure_tests=disabled configure build-release -Doptimization=2 -Ddebug=false -Dstrip=true "-Dprefix=$prefix"
    compile build-release || die "the build failed"
    may_write "$to"
    stage=$root/build-release/stage
    rm -rf "$stage"
    DESTDIR=$stage meson install -C build-release --no-rebuild --quiet >build-release/dev-install.log 2>&1 ||
        { tail -n 20 build-release/dev-install.log >&2 && die "meson install failed"; }
    list=$root/build-release/installed
    grep '^d ' "$to/$INSTALLED" >"$list" 2>/dev/null || true
    (cd "$stage$prefix" && find . -type f) | sed 's#^\./##' | sort >"$list.files"
    while IFS= read -r file; do
        case $file in */*) make_folder "${file%/*}" ;; esac
        # By another name first: a program that runs cannot be written, but it can be replaced.
        cp "$stage$prefix/$file" "$to/$file.new" && chmod "$(mode_of "$stage$prefix/$file")" "$to/$file.new" &&
            mv -f "$to/$file.new" "$to/$file" || die "cannot write $to/$file"
        echo "f $file" >>"$list"
    done <"$list.files"
    # An older version may have had files that are no more.
    { sed -n 's/^f //p' "$to/$INSTALLED" 2>/dev/null || true; } | grep -vxFf "$list.files" | while IFS= read -r file; do
        ! is_ours "$file" || rm -f "$to/$file"
    done
    make_folder "${INSTALLED%/*}"
    cp "$list" "$to/$INSTALLED"
    say "installed in $to: bin/sema, manual pages, completions, systemd unit; ./dev uninstall takes them away"
}

mode_of() { if [ -x "$1" ]; then echo 755; else echo 644; fi; }

is_ours() { # a line of the list cannot lead out of the prefix
    case /$1/ in
        *//?* | */../*) return 1 ;;
    esac
}

cmd_uninstall() {
    install_words "$@"
    [ -f "$to/$INSTALLED" ] || die "nothing of Sema's is in $to ($to/$INSTALLED is not there); PREFIX=DIR names another place"
    may_write "$to/$INSTALLED"
    sed -n 's/^f //p' "$to/$INSTALLED" | while IFS= read -r file; do
        ! is_ours "$file" || rm -f "$to/$file"
    done
    folders=$(sed -n 's/^d //p' "$to/$INSTALLED" | LC_ALL=C sort -r)
    rm -f "$to/$INSTALLED"
    # Deepest first, the prefix ("." in the list) last; what others have put in stays, and its folder with it.
    printf '%s\n' "$folders" | while IFS= read -r folder; do
        [ "$folder" != . ] || folder=
        ! is_ours "$folder" || rmdir "$to${folder:+/$folder}" 2>/dev/null || true
    done
    say "taken away from $to"
}
