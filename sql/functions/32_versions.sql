create or replace view nearline.versions as
with part as (
    select substring(c.relname from '_v([0-9]+)$')::integer as model_version
         , sum(pg_table_size(c.oid)) as table_bytes
         , sum(pg_indexes_size(c.oid)) as index_bytes
    from pg_inherits h
    join pg_class c on c.oid = h.inhrelid
    where h.inhparent in (
              'nearline_data.item_embedding'::regclass
            , 'nearline_data.item_transition'::regclass
            , 'nearline_data.query_embedding'::regclass
            , 'nearline_data.user_interest'::regclass
          )
    group by 1
), at_work as (
    -- Who writes the vectors of a version holds its lock, see sql/queries/refresh.sql.
    select (k.objid::bigint / 1024)::integer as model_version
    from pg_locks k
    where k.locktype = 'advisory'
      and k.granted
      and k.objsubid = 2
      and k.classid = (hashtext('nearline refresh')::bigint & 4294967295)::oid
      and k.database = (select d.oid from pg_database d where d.datname = current_database())
)
select m.model_version
     , case when l.model_version is not null then 'live'
            when p.model_version is null then 'dropped'
            when exists (select from nearline_data.cursor c where c.model_version = m.model_version) then 'kept'
            when exists (select from at_work w where w.model_version = m.model_version) then 'building'
            else 'stopped'
       end as state
     , m.item_count
     , (select count(*) from nearline_data.user_interest u where u.model_version = m.model_version) as user_count
     , m.index_recall
     , coalesce(p.table_bytes, 0)::bigint as table_bytes
     , coalesce(p.index_bytes, 0)::bigint as index_bytes
     , m.created_at
     , m.published_at
     , (select max(q.promoted_at) from nearline_data.promotion q where q.model_version = m.model_version) as last_live_at
     , m.mlflow_run_id
from nearline_data.model_version m
left join nearline_data.live_version l on l.model_version = m.model_version
left join part p on p.model_version = m.model_version;
comment on view nearline.versions is 'Every model version that is or was in this database, and the disk that it takes.';
comment on column nearline.versions.model_version is 'Version of nearline-interest in the MLflow registry.';
comment on column nearline.versions.state is 'live: served. kept: complete, can go live within a second. building: a job is loading it. stopped: that job died; it is loaded anew when it is wanted, else dropped after a day. dropped: only its row is left; it is loaded anew when the alias in MLflow is moved to it.';
comment on column nearline.versions.item_count is 'Items that it was loaded with.';
comment on column nearline.versions.user_count is 'People with an interest vector.';
comment on column nearline.versions.index_recall is 'Share of the ten nearest items of an exact search that its index finds too, on a sample; null: not measured.';
comment on column nearline.versions.table_bytes is 'Bytes on disk of its tables, indexes not counted.';
comment on column nearline.versions.index_bytes is 'Bytes on disk of their indexes.';
comment on column nearline.versions.created_at is 'When its loading last began.';
comment on column nearline.versions.published_at is 'When it first went live; null: not yet.';
comment on column nearline.versions.last_live_at is 'When it last went live; null: not yet.';
comment on column nearline.versions.mlflow_run_id is 'The MLflow run that trained it.';
