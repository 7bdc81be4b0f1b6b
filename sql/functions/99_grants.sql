-- Least privilege, in one place and last: everything starts from nothing.
revoke all on all functions in schema nearline, nearline_data from public;
grant usage on schema nearline to nearline_reader, nearline_writer, nearline_engine;
grant usage on schema nearline_data to nearline_engine;

grant execute on function
    nearline.recommend, nearline.recommend_per_kind, nearline.recommend_for_many, nearline.recommend_for_session
  , nearline.similar_items, nearline.trending, nearline.recent_events, nearline.interests, nearline.lasting_interests
to nearline_reader;
grant execute on function nearline.plan to nearline_reader;
grant select on nearline.freshness, nearline.live_model, nearline.promotions, nearline.versions, nearline.judgements to nearline_reader;
grant execute on function nearline.performance_between, nearline.experiment_result to nearline_reader;
grant select on nearline.performance to nearline_reader;
grant execute on function nearline.explain to nearline_reader;  -- all it writes is a wish for the nearline job
grant execute on function nearline_data._shard_of to nearline_reader;  -- nearline.freshness calls it as its reader

grant execute on function nearline.record_event, nearline.record_exposure, nearline.forget_event, nearline.set_interest to nearline_writer;
grant execute on function nearline.strategy_of to nearline_reader, nearline_writer;  -- who shows a list, and who records it
grant execute on function nearline.erase_user to nearline_engine;  -- too much for a web server
grant execute on function nearline.try_rules to nearline_engine;  -- shows the lists of other people
-- Binary COPY of events by applications: they may add, not look. When and by which transaction an event was recorded is for
-- Postgres to say: cursors follow it.
grant usage on schema nearline_data to nearline_writer;
revoke insert on nearline_data.event from nearline_writer;
grant insert (event_id, user_id, item_id, kind, text, value, attributes, occurred_at) on nearline_data.event to nearline_writer;

-- Staging tables of loads. Never beside the functions: those resolve names when they run, and another of the same name could be taken.
grant usage, create on schema nearline_load to nearline_engine;
grant select, insert, update, delete on all tables in schema nearline_data to nearline_engine;
revoke insert, update, delete on nearline_data.migration, nearline_data.promotion, nearline_data.live_version from nearline_engine;
grant execute on all functions in schema nearline_data to nearline_engine;
-- Of an experiment that runs only the end may be set: another salt or beginning would have people change sides.
revoke update on nearline_data.experiment, nearline_data.experiment_arm from nearline_engine;
grant update (ends_at) on nearline_data.experiment to nearline_engine;
