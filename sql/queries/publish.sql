-- Blocks of embed_items, rebuild_interests and publish.

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
where model_version.mlflow_run_id = excluded.mlflow_run_id
returning model_version;

-- drop_part --
select nearline_data._drop_version_part(%(model_version)s, %(part)s);

-- old_versions --
-- The newest published ones stay for a rollback; one that is being built is newer than all of them.
select m.model_version
from nearline_data.model_version m
where m.published_at is not null
  and to_regclass('nearline_data.item_embedding_v' || m.model_version) is not null
  and m.model_version not in (select l.model_version from nearline_data.live_version l)
order by m.published_at desc
offset greatest(%(keep_versions)s - 1, 0);

-- create_partitions --
select nearline_data._create_version_partitions(%(model_version)s);

-- index_version --
select nearline_data._index_version(%(model_version)s);

-- promote --
select nearline_data._promote(%(model_version)s, %(by_whom)s, %(because)s);

-- refresh_popularity --
select nearline_data._refresh_popularity();

-- keep_house --
select k.what, k.how_many from nearline_data._keep_house() k;
