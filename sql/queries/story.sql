-- Blocks of the demo's story.

-- person --
-- Somebody with enough history to have a taste, and not too much to read: the one who was active last.
select u.user_id
from nearline_data.user_interest u
join nearline_data.live_version l on l.model_version = u.model_version
where u.event_count between 8 and 40 or u.user_id = 'ada'
order by u.user_id <> 'ada', u.newest_event_at desc, u.user_id
limit 1;

-- kinds --
select i.kind, count(*) as items
from nearline_data.item i
where i.is_active
group by i.kind
order by i.kind not in ('page', 'product', 'item'), count(*) desc, i.kind
limit 3;

-- another_interest --
-- Something popular that has least to do with what the person wants now, in the catalogue's main language.
select p.item_id, i.title, i.kind
from (
    select q.item_id from nearline_data.item_popularity q order by q.score desc, q.item_id limit 300
) p
join nearline_data.item i on i.item_id = p.item_id and i.is_active and coalesce(i.language, 'en') like 'en%%'
join nearline_data.item_embedding v
  on v.item_id = p.item_id and v.model_version = (select l.model_version from nearline_data.live_version l)
join nearline_data.user_interest u on u.model_version = v.model_version and u.user_id = %(user_id)s
where not exists (select from nearline_data.event e where e.user_id = u.user_id and e.item_id = p.item_id)
order by (v.vector <=> u.vector) desc
limit 1;

-- vector_written_at --
select extract(epoch from u.updated_at)::double precision
from nearline_data.user_interest u
where u.user_id = %(user_id)s
  and u.model_version = (select l.model_version from nearline_data.live_version l);

-- is_refreshed --
-- Whether a run of the nearline DAG holds the lock of the live version.
select exists (
    select from pg_locks k
    where k.locktype = 'advisory' and k.granted and k.objsubid = 2
      and k.classid::bigint = hashtext('nearline refresh')::bigint & 4294967295
      and k.objid = (select l.model_version from nearline_data.live_version l) * 1024
      and k.database = (select d.oid from pg_database d where d.datname = current_database())
) as yes;

-- counts --
select (select count(*) from nearline_data.item) as items
     , (select count(*) from nearline_data.event) as events
     , (select count(*) from nearline_data.user_interest u
        where u.model_version = (select l.model_version from nearline_data.live_version l)) as people
     , (select count(*) from nearline_data.rejected_row) as rejected_rows;

-- server_time --
select extract(epoch from clock_timestamp())::double precision;
