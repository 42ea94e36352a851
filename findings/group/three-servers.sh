# For findings about Group Replication; to be sourced. Unpacks a pinned MySQL from Debian's archive into a temporary folder, and runs a Python
# program (standard input) beside three of its servers, in namespaces of its own: nothing of it is left when it ends, however it ends.
#
#   three_servers <<'PY'        the program finds the module group.py beside this file as `group`
#
# Needs root, Debian's apt-get and its archive's keys, unshare, and Python 3 with pip. Nothing is installed on the machine.
set -euo pipefail
mysql_version=9.7.4-2
driver='PyMySQL==1.1.2'
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

unpack_mysql() {
    # The archive that this machine takes its own packages from.
    local archive=${DEBIAN_ARCHIVE:-$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | head -n 1)} package
    [ -n "$archive" ] || { echo "no Debian archive is known to apt: DEBIAN_ARCHIVE=URL names one" >&2; exit 1; }
    mkdir -p "$folder"/apt/{lists,cache/archives}/partial "$folder/root"
    : >"$folder/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive unstable main" >"$folder/apt/sources.list"
    local options=(-qq -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State=$folder/apt"
        -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::State::Status=$folder/apt/status" -o "Dir::Cache=$folder/apt/cache"
        -o APT::Install-Recommends=false -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" --yes --download-only install "mysql-server-core=$mysql_version" >"$folder/apt/log" 2>&1 ||
        { tail -n 5 "$folder/apt/log" >&2; echo "mysql-server-core $mysql_version cannot be had" >&2; exit 1; }
    for package in "$folder"/apt/cache/archives/*.deb; do dpkg-deb --extract "$package" "$folder/root"; done
    for package in lib lib64 bin sbin; do
        [ -e "$folder/root/$package" ] || ln -s "usr/$package" "$folder/root/$package"
    done
    mkdir -p "$folder"/root/{data,tmp,dev,proc}
    rm -rf "$folder/apt"
}

three_servers() {
    unpack_mysql
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$folder/python" "$driver"
    cat >"$folder/program.py"
    # The servers are children in a pid namespace: they end with it.
    PYTHONPATH=$folder/python:$here PYTHONDONTWRITEBYTECODE=1 FINDING_ROOT=$folder/root \
        unshare --net --mount --pid --fork --kill-child --mount-proc python3 "$folder/program.py"
}
