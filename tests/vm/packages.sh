# shellcheck shell=bash
# Sourced: need_packages NAME... installs what is missing from the machine's own apt set-up, and only then says so.
need_packages() {
    local absent=() name
    for name in "$@"; do
        # "install ok installed": a package that was removed but not purged still has a status.
        [[ $(dpkg-query -W -f '${Status}' "$name" 2>/dev/null) == "install ok installed" ]] || absent+=("$name")
    done
    ((${#absent[@]})) || return 0
    if ((EUID != 0)); then
        echo "vm: these packages are missing, and only root can install them: ${absent[*]}" >&2
        return 1
    fi
    echo "vm: installing ${absent[*]}" >&2
    # The lists may be absent or old: install from what is known first, since an update can cost more than the packages.
    # A lock that someone else holds is waited for.
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=900 -o Dpkg::Use-Pty=0)
    local install=("${get[@]}" install -y --no-install-recommends "${absent[@]}")
    "${install[@]}" >/dev/null 2>&1 || { "${get[@]}" update >&2 && "${install[@]}" >&2; }
}
