SELECT COUNT(*)
FROM performance_schema.replication_group_members AS me
WHERE me.MEMBER_ID = @@server_uuid
  AND me.MEMBER_STATE = 'ONLINE'
  AND me.MEMBER_ROLE = 'PRIMARY'
  AND @@super_read_only = 0
  AND (SELECT 2 * SUM(MEMBER_STATE = 'UNREACHABLE') < COUNT(*)
       FROM performance_schema.replication_group_members)
