-- The account that haipmgr logs in with. Run this on the primary; Group Replication copies it to the other members.
-- It reads performance_schema, which shows the group's state.
-- Narrow '%' to your servers' network if you can: each agent asks its own server, and in a dispute another member's.
CREATE USER 'haip'@'%' IDENTIFIED BY 'put the password here';
GRANT SELECT ON performance_schema.* TO 'haip'@'%';

-- So that a dead member is expelled on time (wake_expel, proven_dead): three procedures, which run with the
-- rights of an account that nobody can log in as. They need MySQL 8.0.18 or later; everything else works without them.
CREATE USER IF NOT EXISTS 'haipmgr_definer'@'localhost' IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK;
GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO 'haipmgr_definer'@'localhost';
GRANT SELECT ON performance_schema.* TO 'haipmgr_definer'@'localhost';
CREATE SCHEMA IF NOT EXISTS haipmgr;
GRANT EXECUTE ON haipmgr.* TO 'haipmgr_definer'@'localhost';
DROP PROCEDURE IF EXISTS haipmgr.wake_expel;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.wake_expel()
  SQL SECURITY DEFINER
  SET GLOBAL group_replication_member_expel_timeout = @@GLOBAL.group_replication_member_expel_timeout;
DROP PROCEDURE IF EXISTS haipmgr.expel_unreachable_now;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.expel_unreachable_now()
  SQL SECURITY DEFINER
  SET GLOBAL group_replication_member_expel_timeout = (
    SELECT CAST(IF(@@GLOBAL.group_replication_single_primary_mode
      AND COALESCE(SUM(MEMBER_STATE = 'UNREACHABLE'), 0) > 0
      AND 2 * SUM(MEMBER_STATE = 'UNREACHABLE') < COUNT(*)
      AND SUM(MEMBER_ID = @@GLOBAL.server_uuid AND MEMBER_STATE = 'ONLINE') = 1,
      0, @@GLOBAL.group_replication_member_expel_timeout) AS UNSIGNED)
    FROM performance_schema.replication_group_members);
DROP PROCEDURE IF EXISTS haipmgr.restore_expel_timeout;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.restore_expel_timeout(IN configured INT UNSIGNED)
  SQL SECURITY DEFINER
  SET GLOBAL group_replication_member_expel_timeout =
    IF(@@GLOBAL.group_replication_member_expel_timeout = 0 AND configured BETWEEN 1 AND 3600,
      configured, @@GLOBAL.group_replication_member_expel_timeout);
GRANT EXECUTE ON PROCEDURE haipmgr.wake_expel TO 'haip'@'%';
GRANT EXECUTE ON PROCEDURE haipmgr.expel_unreachable_now TO 'haip'@'%';
GRANT EXECUTE ON PROCEDURE haipmgr.restore_expel_timeout TO 'haip'@'%';

-- For haipmgr switchover and haipmgr drain: two more, a privilege, and a table of one row. MySQL 8.0.13 or later.
-- Only if you want it, afterwards: for switchover --write-as APP, GRANT INSERT, DELETE ON haipmgr.written_through_vip TO 'APP'@'%',
-- and so that switchover can end a session that holds it up, GRANT CONNECTION_ADMIN ON *.* TO this account
GRANT GROUP_REPLICATION_ADMIN, PROCESS ON *.* TO 'haipmgr_definer'@'localhost';
DROP PROCEDURE IF EXISTS haipmgr.make_primary;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.make_primary(IN member CHAR(36))
  SQL SECURITY DEFINER
  SELECT group_replication_set_as_primary(CONCAT(member));
DROP PROCEDURE IF EXISTS haipmgr.changed_rows;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.changed_rows()
  SQL SECURITY DEFINER
  SELECT trx_mysql_thread_id, trx_rows_modified FROM information_schema.INNODB_TRX
  WHERE trx_rows_modified > 0 ORDER BY trx_started LIMIT 60;
GRANT EXECUTE ON PROCEDURE haipmgr.make_primary TO 'haip'@'%';
GRANT XA_RECOVER_ADMIN ON *.* TO 'haip'@'%';
GRANT EXECUTE ON PROCEDURE haipmgr.changed_rows TO 'haip'@'%';
CREATE TABLE IF NOT EXISTS haipmgr.written_through_vip (id INT PRIMARY KEY, written_at TIMESTAMP(6) NOT NULL);

-- For haipmgr pause of the whole cluster: a table of one row, and the two procedures that write it
CREATE TABLE IF NOT EXISTS haipmgr.pauses (id INT PRIMARY KEY, ends_at TIMESTAMP(3) NOT NULL,
  told_by VARCHAR(100) NOT NULL, reason VARCHAR(200) NOT NULL);
GRANT INSERT, DELETE ON haipmgr.pauses TO 'haipmgr_definer'@'localhost';
DROP PROCEDURE IF EXISTS haipmgr.pause;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.pause
  (IN seconds INT UNSIGNED, IN told_by VARCHAR(100) CHARSET utf8mb4, IN reason VARCHAR(200) CHARSET utf8mb4)
  SQL SECURITY DEFINER
  REPLACE INTO haipmgr.pauses VALUES (1, NOW(3) + INTERVAL LEAST(seconds, 86400) SECOND, told_by, reason);
DROP PROCEDURE IF EXISTS haipmgr.resume;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.resume()
  SQL SECURITY DEFINER
  DELETE FROM haipmgr.pauses LIMIT 1;
GRANT SELECT ON haipmgr.pauses TO 'haip'@'%';
GRANT EXECUTE ON PROCEDURE haipmgr.pause TO 'haip'@'%';
GRANT EXECUTE ON PROCEDURE haipmgr.resume TO 'haip'@'%';

-- So that the first write after a haipmgr switchover never waits 0.3 s for replica_checkpoint_period: two more. MySQL 8.0.26 or later
DROP PROCEDURE IF EXISTS haipmgr.shorten_checkpoint_period;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.shorten_checkpoint_period()
  SQL SECURITY DEFINER
  SET GLOBAL replica_checkpoint_period =
    CAST(LEAST(@@GLOBAL.replica_checkpoint_period, 10) AS UNSIGNED);
DROP PROCEDURE IF EXISTS haipmgr.restore_checkpoint_period;
CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE haipmgr.restore_checkpoint_period(IN configured INT UNSIGNED)
  SQL SECURITY DEFINER
  SET GLOBAL replica_checkpoint_period = CAST(
    IF(@@GLOBAL.replica_checkpoint_period = 10 AND configured > 0,
      configured, @@GLOBAL.replica_checkpoint_period) AS UNSIGNED);
GRANT EXECUTE ON PROCEDURE haipmgr.shorten_checkpoint_period TO 'haip'@'%';
GRANT EXECUTE ON PROCEDURE haipmgr.restore_checkpoint_period TO 'haip'@'%';
