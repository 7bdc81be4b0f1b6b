create or replace view nearline.live_model as
select l.model_version
     , l.live_since
     , p.promoted_by
     , p.reason
     , m.item_count
     , (select count(*) from nearline_data.user_interest u where u.model_version = l.model_version) as user_count
     , m.metrics
     , m.mlflow_run_id
from nearline_data.live_version l
join nearline_data.model_version m on m.model_version = l.model_version
left join lateral (
    select q.promoted_by, q.reason
    from nearline_data.promotion q
    where q.model_version = l.model_version
    order by q.promotion_id desc
    limit 1
) p on true;
comment on view nearline.live_model is 'The model version that is served now; no row before the first is published.';
comment on column nearline.live_model.model_version is 'Version of nearline-interest in the MLflow registry.';
comment on column nearline.live_model.live_since is 'Since when it is served.';
comment on column nearline.live_model.promoted_by is 'Who published it.';
comment on column nearline.live_model.reason is 'Why.';
comment on column nearline.live_model.item_count is 'Items with a vector.';
comment on column nearline.live_model.user_count is 'People with an interest vector.';
comment on column nearline.live_model.metrics is 'The judgement before publication.';
comment on column nearline.live_model.mlflow_run_id is 'The MLflow run that trained it.';

create or replace view nearline.promotions as
select p.promotion_id, p.promoted_at, p.model_version, p.previous_version, p.promoted_by, p.reason, p.metrics
from nearline_data.promotion p;
comment on view nearline.promotions is 'Every change of the live version.';
comment on column nearline.promotions.promotion_id is 'Order.';
comment on column nearline.promotions.promoted_at is 'When.';
comment on column nearline.promotions.model_version is 'The version that went live.';
comment on column nearline.promotions.previous_version is 'The one it replaced.';
comment on column nearline.promotions.promoted_by is 'Who.';
comment on column nearline.promotions.reason is 'Why.';
comment on column nearline.promotions.metrics is 'The judgement it was promoted on.';
