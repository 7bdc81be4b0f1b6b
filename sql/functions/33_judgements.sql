create or replace view nearline.judgements as
select j.run, j.judged_at, j.accepted, j.reason, j.metrics
from nearline_data.judgement j;
comment on view nearline.judgements is 'What was found of each daily run''s candidate, refused ones too.';
comment on column nearline.judgements.run is 'Name of the daily run: its run id in Airflow, less colons, with _ for +.';
comment on column nearline.judgements.judged_at is 'When.';
comment on column nearline.judgements.accepted is 'False: refused; nothing of it was published.';
comment on column nearline.judgements.reason is 'Why.';
comment on column nearline.judgements.metrics is 'Figures of the candidate (metrics) and of its rivals on the same later events.';
