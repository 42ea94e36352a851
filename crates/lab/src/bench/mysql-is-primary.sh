#!/bin/sh
# Succeeds when this host's server is the writable primary of a group that has its majority.
answer=$(mysql --defaults-file=@FOLDER@/mysql-is-primary.cnf --skip-column-names --batch \
               < @FOLDER@/mysql-is-primary.sql 2>/dev/null) || exit 1
[ "$answer" = 1 ]
