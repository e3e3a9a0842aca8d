# shellcheck shell=sh disable=SC2154 # "me" is set by the script that sources this
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shell functions shared by ./configure and scripts/*: messages, and an apt
# that reads another Debian suite without changing anything system-wide.
#
# POSIX sh; sourced, never run.  The sourcing script sets "me" to its name.

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { warn "$*"; exit 1; }

# A git that was started from a hook would point us at the wrong repository.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX

# git for trees that our scripts make: nobody's identity, hooks, signing key or
# line-ending rules get a say, so the same input gives the same tree everywhere.
tree_git() {
    git -c user.name=QEMU-FT -c user.email=qemu-ft@localhost \
        -c commit.gpgsign=false -c tag.gpgsign=false -c gc.auto=0 \
        -c core.hooksPath=/dev/null -c core.autocrlf=false \
        -c core.excludesFile=/dev/null -c core.safecrlf=false \
        -c advice.detachedHead=false -c init.defaultBranch=ft "$@"
}

# Where downloads are kept between builds.
cache_dir() {
    printf '%s\n' \
        "${QEMU_FT_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set; set QEMU_FT_CACHE to a directory for downloads}/.cache}/qemu-ft}"
}

# debian_mirror [LABEL]: the mirror this machine already uses, so that no host
# name is written down here.  LABEL is Debian (default) or Debian-Security.
# Prints nothing when there is none.  apt knows labels only after one update.
debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        'Origin: Debian' "Label: ${1:-Debian}" 2>/dev/null | sort -u | head -n 1
}

# apt_private DIR TYPE SUITE...: make DIR a private apt directory that reads
# SUITEs (TYPE is deb or deb-src), and download their indexes.  Afterwards
# "apt_in DIR apt-get ..." uses it.  Signatures are checked as usual: with
# Debian's own keyring and no way round it.
apt_private() {
    apt_dir=$1 apt_type=$2
    shift 2
    apt_keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$apt_keys" ] ||
        die "Debian's archive keys are missing ($apt_keys): install the package debian-archive-keyring."
    if [ -z "$(debian_mirror)" ] && [ "$(id -u)" = 0 ]; then
        apt-get -qq update || die "apt-get update failed: check this machine's apt sources and network."
    fi
    mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" "$apt_dir/none" ||
        die "cannot write to $apt_dir: set QEMU_FT_CACHE to a directory you own."
    : >"$apt_dir/status"
    : >"$apt_dir/sources.list"
    for apt_suite in "$@"; do
        case $apt_suite in
        *-security)
            # Not every machine has a security source; point releases carry
            # the same fixes a little later, so go on without.
            apt_mirror=$(debian_mirror Debian-Security)
            [ -n "$apt_mirror" ] || continue
            ;;
        *)
            apt_mirror=$(debian_mirror)
            [ -n "$apt_mirror" ] ||
                die "apt knows no Debian mirror here: run 'apt-get update' as root, or give --qemu-source=DIR|TARBALL|FILE.dsc."
            ;;
        esac
        say "$apt_type [signed-by=$apt_keys] $apt_mirror $apt_suite main" >>"$apt_dir/sources.list"
    done
    cat >"$apt_dir/apt.conf" <<CONF
Dir::State "$apt_dir";
Dir::State::Lists "$apt_dir/lists";
Dir::State::status "$apt_dir/status";
Dir::Cache "$apt_dir/cache";
Dir::Etc::SourceList "$apt_dir/sources.list";
Dir::Etc::SourceParts "$apt_dir/none";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "$apt_dir/none";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "false";
CONF
    # apt may not drop to its own user when the directory is below /root.
    [ "$(id -u)" = 0 ] && say 'APT::Sandbox::User "root";' >>"$apt_dir/apt.conf"
    apt_in "$apt_dir" apt-get -qq update ||
        die "could not read $* from the Debian mirror: check the network, or give --qemu-source=DIR|TARBALL|FILE.dsc."
}

apt_in() {
    apt_dir=$1
    shift
    APT_CONFIG=$apt_dir/apt.conf DEBIAN_FRONTEND=noninteractive "$@"
}
