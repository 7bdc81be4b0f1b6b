-- Blocks of refresh_interests where another run has the lock of its shard.

-- standstill --
-- Events of this shard wait for long, and its cursor has not moved for as long.
select f.cursor_moved_at, f.backlog_age
from nearline.freshness f
where f.model_version = %(model_version)s
  and f.shard = %(shard)s
  and least(f.backlog_age, now() - f.cursor_moved_at) > %(seconds)s * interval '1 second';

-- holder --
-- Who has the lock of this shard, and the transaction it is in: who works begins another one now and then.
select k.pid, k.virtualtransaction
from pg_locks k
where k.locktype = 'advisory' and k.granted and k.objsubid = 2
  and k.classid = (hashtext('nearline refresh')::bigint & 4294967295)::oid
  and k.objid = (%(model_version)s * 1024 + %(shard)s)::oid
  and k.database = (select d.oid from pg_database d where d.datname = current_database());
