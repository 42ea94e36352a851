-- The account that haipmgr asks with. Run this on the primary; Group Replication brings it to the other members.
-- It reads performance_schema, which shows the group's state, and nothing else.
-- Narrow '%' to your servers' network where you can: each agent asks its own server, and in a dispute another member's.
CREATE USER 'haip'@'%' IDENTIFIED BY 'put the password here';
GRANT SELECT ON performance_schema.* TO 'haip'@'%';
