-- Least privilege, in one place and last: everything starts from nothing.
revoke all on all functions in schema nearline, nearline_data from public;
grant usage on schema nearline to nearline_reader, nearline_writer, nearline_engine;
grant usage on schema nearline_data to nearline_engine;

grant execute on function nearline.recommend, nearline.similar_items, nearline.recent_events to nearline_reader;
grant select on nearline.freshness, nearline.live_model, nearline.promotions to nearline_reader;
grant execute on function nearline_data._shard_of to nearline_reader;  -- nearline.freshness calls it as its reader

grant execute on function nearline.record_event, nearline.record_exposure to nearline_writer;
grant execute on function nearline.erase_user to nearline_engine;  -- too much for a web server
-- Binary COPY of events by applications: they may add, not look.
grant usage on schema nearline_data to nearline_writer;
grant insert on nearline_data.event to nearline_writer;

grant create on schema nearline_data to nearline_engine;  -- staging tables of loads
grant select, insert, update, delete on all tables in schema nearline_data to nearline_engine;
revoke insert, update, delete on nearline_data.migration, nearline_data.promotion, nearline_data.live_version from nearline_engine;
grant execute on all functions in schema nearline_data to nearline_engine;
