if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now haipmgr.service
    echo "haipmgr: a VIP that is on this host stays here (ip -o address), and nothing moves it any more"
fi
