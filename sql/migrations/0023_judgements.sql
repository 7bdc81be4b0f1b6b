-- What became of each candidate, the refused ones too: MLflow knows, but who watches Airflow sees a skipped task.
set local role nearline_owner;

create table nearline_data.judgement (
    run text primary key
  , judged_at timestamptz not null default now()
  , accepted boolean not null
  , reason text not null
  , metrics jsonb not null
);
comment on table nearline_data.judgement is 'What each daily run''s candidate was judged, one row a run; a run that judges again replaces it.';
comment on column nearline_data.judgement.run is 'Name of the run, and of its folder.';
comment on column nearline_data.judgement.judged_at is 'When.';
comment on column nearline_data.judgement.accepted is 'False: refused, and the live model stayed.';
comment on column nearline_data.judgement.reason is 'Why.';
comment on column nearline_data.judgement.metrics is 'Figures of the candidate and of its rivals.';
comment on constraint judgement_pkey on nearline_data.judgement is 'One a run.';

comment on sequence nearline_data.promotion_promotion_id_seq is 'Order of promotions.';
comment on sequence nearline_data.refresh_batch_batch_id_seq is 'Order of batches.';
comment on sequence nearline_data.rejected_row_rejected_id_seq is 'Order of rejected rows.';

-- It comments its trigger now; sql/functions has the new one.
drop function if exists nearline_data._ensure_trigger(text);
