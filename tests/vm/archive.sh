# shellcheck shell=bash
# Sourced: packages of a Debian suite that is not among the machine's own apt sources, for use in a cache and not to be
# installed. Needs say, die and need_packages.

# use_suite FOLDER SUITE: sets `apt` to FOLDER/apt-SUITE and `options` to what apt-get and apt-cache take to look there.
# The archive's address is the one that this machine itself uses for its release, in whichever format apt was given it.
# The list made of it, its indexes and downloads are our own: the machine's set-up of apt stays as it is.
use_suite() {
    need_packages debian-archive-keyring
    local archive keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    # shellcheck source=/dev/null
    archive=$(. /etc/os-release && apt-get indextargets --no-release-info --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" |
        awk -v release="$VERSION_CODENAME" '$2 == release && $3 == "main" { print $1; exit }')
    [[ $archive ]] || die "apt's sources have no entry for this release's main: where Debian's archive is cannot be derived"
    apt=$1/apt-$2
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/source"
    echo "deb [signed-by=$keyring] $archive $2 main" >"$apt/sources.list"
    options=(-q -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
}

# step WHAT COMMAND...: says WHAT; COMMAND's output goes to $log, and is shown when it fails.
step() {
    say "$1"
    "${@:2}" >>"$log" 2>&1 && return
    tail -n 40 "$log" >&2
    die "failed: $1"
}

# download PACKAGE: into $apt/source; apt keeps a file that is there and has the right checksum. Sets `deb`.
download() {
    (cd "$apt/source" && apt-get "${options[@]}" download "$1") &&
        deb=$(find "$apt/source" -name "${1}_*.deb" -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
}
