# For packaging/test: a Debian root with systemd as PID 1, in mount, PID, network, UTS, IPC and cgroup namespaces of its own. To be sourced.
# Not systemd-nspawn: it wants the machine's own systemd or its cgroup tree, which a container or a CI machine may not have.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/haipmgr-packaging
packages=systemd,systemd-sysv,iproute2,logrotate,dbus,polkitd,openssh-server,openssh-client,libnss-myhostname
# What apt says of Debian's own MySQL server, and its packages where there is one, for a container to install: it has no way out.
debians_server='APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -y --no-install-recommends --download-only install mysql-server >"$1/opt/mysql-server.says" 2>&1
    mkdir "$1/opt/mysql-server" && find "$1/var/cache/apt/archives" -name "*.deb" -exec mv {} "$1/opt/mysql-server/" ";"'

# the_package [FILE]: $deb and $rpm are of the very commit that lies here, or are made of it now; FILE.deb is taken as it is, with the rpm
# beside it.
the_package() {
    local there commit
    there=${1:-$(find target/packaging -maxdepth 1 -name 'haipmgr_*.deb' 2>/dev/null | head -1)}
    commit=$(git rev-parse --short=12 HEAD 2>/dev/null) && [ -z "$(git status --porcelain --untracked-files=no)" ] || commit=none
    if [ -z "${1:-}" ] && ! version_of "$there" | grep -qF "(commit $commit,"; then
        [ -z "$there" ] || echo "not taken: $there, which is $(version_of "$there")"
        packaging/build
        there=$(find target/packaging -maxdepth 1 -name 'haipmgr_*.deb' | head -1)
    fi
    deb=$(realpath "$there") rpm=$(find "$(dirname "$there")" -maxdepth 1 -name 'haipmgr-*.rpm' | head -1)
    printf 'package: %s, %s\n' "$(basename "$deb")" "$(version_of "$deb")"
}
version_of() { # FILE.deb: as its program says; nothing where there is no file
    local program
    [ -e "$1" ] || return 0
    program=$(mktemp) && dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/bin/haipmgr >"$program" && chmod +x "$program" && "$program" --version
    rm -f "$program"
}

# archive SUITE: a root as Debian installs it, made once: $archive.
archive() {
    archive=$cache/$1-$(printf %s "$packages$debians_server" | cksum | cut -d " " -f 1)
    local tools=$cache/tools
    mkdir -p "$cache"
    if [ ! -e "$tools/usr/bin/mmdebstrap" ]; then
        (cd "$cache" && apt-get -qq -o APT::Sandbox::User=root download mmdebstrap && dpkg-deb -x mmdebstrap_*.deb "$tools" && rm mmdebstrap_*.deb)
    fi
    [ -e "$archive.tar" ] && return
    # The archive that this machine takes its own packages from.
    local mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | head -n 1)}
    [ -n "$mirror" ] || { echo "no Debian archive is known to apt: DEBIAN_MIRROR=URL names one" >&2; exit 1; }
    # In a mount namespace, so that nothing stays mounted. An archive that is a snapshot has no fresh date.
    unshare --mount --propagation private "$tools/usr/bin/mmdebstrap" --quiet --mode=root --variant=minbase \
        --aptopt='Acquire::Check-Valid-Until "false"' --include=$packages --customize-hook="$debians_server" \
        "$1" "$archive.part.tar" "$mirror"
    mv "$archive.part.tar" "$archive.tar"
}

# boot SUITE [NUMBER]: $root is the running container's root, $init its PID 1. $work is the caller's. Its host is db1, or db$NUMBER.
boot() {
    archive "$1"
    number=${2:-1}
    mkdir -p "$root"
    tar -C "$root" -xf "$archive.tar"
    echo "db$number" >"$root/etc/hostname"
    printf '%s\n' '127.0.0.1 localhost' '10.77.0.11 db1' '10.77.0.12 db2' '10.77.0.13 db3' >"$root/etc/hosts"
    rm -f "$root/etc/resolv.conf" && : >"$root/etc/resolv.conf"
    # As Debian has it; the package libnss-myhostname adds a word.
    sed -i 's/^hosts:.*/hosts: files dns/' "$root/etc/nsswitch.conf"
    ln -sf /dev/null "$root/etc/systemd/system/systemd-modules-load.service"
    mysql_root
    power_on
}

# The container of $root, as often as is wanted; what is not in MySQL's folders is there again.
power_on() {
    cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/haipmgr-packaging-$$-$number
    mkdir "$cgroups"
    # The new namespaces' root of the cgroup tree is where the process stands that makes them.
    setsid bash -c 'echo $$ >"$1/cgroup.procs" && exec unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child \
        --propagation private bash packaging/container-init "$2" "$3" "$4"' _ "$cgroups" "$root" "$mysql" "db$number" </dev/null >"$work/boot" 2>&1 &
    outer=$!
    local n
    for n in $(seq 300); do
        init=$(pgrep -P "$outer" -f 'systemd.unit=multi-user.target' || true)
        if [ -n "$init" ] && inside systemctl is-active -q multi-user.target 2>/dev/null; then return; fi
        sleep 0.1
    done
    cat "$work/boot" >&2
    echo "systemd does not come up in $root" >&2
    end_container
    rm -rf "$work"
    exit 1
}

inside() { nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive "$@"; }

end_container() {
    kill -KILL "$outer" 2>/dev/null || true
    wait "$outer" 2>/dev/null || true
    local n
    # The last processes leave a moment later.
    for n in $(seq 50); do
        if rmdir "$cgroups" 2>/dev/null; then break; fi
        find "$cgroups" -depth -mindepth 1 -type d -exec rmdir {} + 2>/dev/null || true
        sleep 0.1
    done
}

# The lab's MySQL, read-only under what the server writes.
mysql_root() {
    # The lab keeps other roots beside it: a browser's, promtool's.
    mysql=$(ls -dt "${XDG_CACHE_HOME:-$HOME/.cache}"/haipmgr-lab/root-*/usr/sbin/mysqld 2>/dev/null | head -1)
    mysql=${mysql%/usr/sbin/mysqld}
    [ -n "$mysql" ] || { echo "there is no MySQL yet: cargo run -p haipmgr-lab -- provision" >&2; exit 1; }
}

# The settings of a member of the group, for either server.
group_settings() {
    cat <<CNF
server_id = $number
report_host = db$number
innodb_buffer_pool_size = 64M
innodb_redo_log_capacity = 64M
gtid_mode = ON
enforce_gtid_consistency = ON
plugin_load_add = group_replication.so
loose-group_replication_group_name = 3f2504e0-4f89-11d3-9a0c-0305e82c3301
loose-group_replication_local_address = 10.77.0.1$number:33061
loose-group_replication_group_seeds = 10.77.0.11:33061,10.77.0.12:33061,10.77.0.13:33061
loose-group_replication_recovery_get_public_key = ON
loose-group_replication_start_on_boot = OFF
CNF
}

# Which server runs in a container: `lab`, the lab's own in a folder of its own, or `debian`, the package.
server=lab
mysql_service() { # the lab's
    # Not RootDirectory=: with it a drop-in's ExecStop= is in that root, too.
    { printf '%s\n' [mysqld] 'user = root' 'datadir = /data/db' 'socket = /data/mysql.sock' 'pid_file = /data/mysql.pid' \
        'secure_file_priv = NULL' 'skip_name_resolve = ON' 'mysqlx = OFF'; group_settings; } | inside sh -ec 'mkdir -p /opt/mysql/data /opt/mysql/tmp /opt/mysql/proc /opt/mysql/dev /opt/mysql/etc
        cp /etc/hosts /opt/mysql/etc/hosts
        mountpoint -q /opt/mysql/proc || { mount -t proc proc /opt/mysql/proc; mount --rbind /dev /opt/mysql/dev; }
        cat >/opt/mysql/data/my.cnf && cat >/etc/systemd/system/mysql.service <<UNIT
[Service]
ExecStartPre=-/usr/sbin/chroot /opt/mysql /usr/sbin/mysqld --no-defaults --initialize-insecure --user=root --datadir=/data/db
ExecStart=/usr/sbin/chroot /opt/mysql /usr/sbin/mysqld --defaults-file=/data/my.cnf
TimeoutStartSec=120
UNIT
        printf "%s\n" "#!/bin/sh" "exec chroot /opt/mysql /usr/bin/mysql --no-defaults --socket /data/mysql.sock \"\$@\"" >/usr/local/bin/mysql
        chmod +x /usr/local/bin/mysql
        systemctl daemon-reload; systemctl start mysql'
}
debian_mysql_service() { # Debian's unit, user, socket and folders, as its package makes them
    { printf '%s\n' [mysqld] 'bind_address = *' 'mysqlx = OFF'; group_settings; } | inside sh -ec '
        apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends install /opt/mysql-server/*.deb
        cat >/etc/mysql/mysql.conf.d/zz-group.cnf; systemctl restart mysql'
}

# As root on the host; with Debian's server by its socket, without a password.
sql() { case $server in
    lab) inside chroot /opt/mysql /usr/bin/mysql --no-defaults --socket /data/mysql.sock --user root --batch --execute "$1" ;;
    debian) inside mysql --batch --execute "$1" ;;
esac; }
