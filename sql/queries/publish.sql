-- Blocks of judge, embed_items, rebuild_interests, publish, follow_champion and keep_house.

-- judged --
insert into nearline_data.judgement (run, accepted, reason, metrics)
values (%(run)s, %(accepted)s, %(reason)s, %(metrics)s)
on conflict (run) do update
set judged_at = now(), accepted = excluded.accepted, reason = excluded.reason, metrics = excluded.metrics;

-- begin_version --
insert into nearline_data.model_version (
    model_version, mlflow_run_id, transition_weight, fold_keep, fold_gain, fold_span, metrics
)
values (
    %(model_version)s, %(mlflow_run_id)s, %(transition_weight)s, %(fold_keep)s, %(fold_gain)s, %(fold_span)s, %(metrics)s
)
on conflict (model_version) do update
set transition_weight = excluded.transition_weight
  , fold_keep = excluded.fold_keep
  , fold_gain = excluded.fold_gain
  , fold_span = excluded.fold_span
  , metrics = excluded.metrics
  , item_count = 0
  , created_at = now()
where model_version.mlflow_run_id = excluded.mlflow_run_id
returning model_version;

-- drop_part --
select nearline_data._drop_version_part(%(model_version)s, %(part)s);

-- past_use --
-- Those that were live stay for a rollback, the newest of them. What never was, or was not loaded to its end, is in
-- nobody's way for a day: a task that failed may be cleared.
select v.model_version
from (
    select n.model_version, n.state, n.created_at
         , n.state in ('live', 'kept') and n.last_live_at is not null as was_live
         , rank() over (
               partition by n.state in ('live', 'kept') and n.last_live_at is not null
               order by n.state <> 'live', n.last_live_at desc
           ) as place
    from nearline.versions n
    where n.state <> 'dropped'
) v
where v.state in ('kept', 'stopped')
  and case when v.was_live then v.place > %(keep_versions)s else v.created_at < now() - interval '1 day' end
order by v.model_version;

-- origin --
-- Where a version in this database came from, and how it was judged.
select m.mlflow_run_id, m.metrics from nearline_data.model_version m where m.model_version = %(model_version)s;

-- state --
select v.state, v.item_count from nearline.versions v where v.model_version = %(model_version)s;

-- first_item --
select i.item_id from nearline_data.item i where i.is_active limit 1;

-- served_trends --
-- The newest that is known of how items are doing: the last numbers of their vectors in the live version.
select i.item_id, subvector(i.vector, 121, 8)
from nearline_data.item_embedding i
where i.model_version = (select l.model_version from nearline_data.live_version l)
order by i.item_id collate "C";

-- create_partitions --
select nearline_data._create_version_partitions(%(model_version)s);

-- index_version --
select nearline_data._index_version(%(model_version)s);

-- index_recall --
select m.index_recall from nearline_data.model_version m where m.model_version = %(model_version)s;

-- measure_recall --
select nearline_data._measure_recall(%(model_version)s);

-- lock_promotion --
-- Until it is unlocked or the session ends: one after another changes what is live.
select pg_advisory_lock(hashtext('nearline promotion'));

-- unlock_promotion --
select pg_advisory_unlock(hashtext('nearline promotion'));

-- promote --
select nearline_data._promote(%(model_version)s, %(by_whom)s, %(because)s);

-- refresh_popularity --
select nearline_data._refresh_popularity(), nearline_data._refresh_topics();

-- keep_house --
select k.what, k.how_many from nearline_data._keep_house() k;
