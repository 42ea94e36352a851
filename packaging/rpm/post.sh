systemd-sysusers haipmgr.conf
systemd-tmpfiles --create haipmgr.conf
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ "$1" -lt 2 ] || systemctl try-restart haipmgr.service
fi
