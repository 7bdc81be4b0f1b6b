-- Whether a text was read before is told by the text itself (the kept text vectors), so nothing asks for its hash.
set local role nearline_owner;

alter table nearline_data.item drop column content_hash;

comment on column nearline_data.item.image_uri is 'Address of a picture, as it was loaded; no function of the contract returns it.';

-- As _create_version_partitions does for versions to come: nearline.recommend_for_many divides people among processes.
do $$
declare
    part regclass;
begin
    for part in select i.inhrelid from pg_catalog.pg_inherits i where i.inhparent = 'nearline_data.user_interest'::regclass loop
        execute format('alter table %s set (parallel_workers = 64)', part);
    end loop;
end
$$;
