-- A column that nothing reads, and people who are divided among processes.
set local role nearline_owner;

-- As _create_version_partitions does for versions to come.
do $$
declare
    part regclass;
begin
    for part in select i.inhrelid from pg_catalog.pg_inherits i where i.inhparent = 'nearline_data.user_interest'::regclass loop
        execute format('alter table %s set (parallel_workers = 64)', part);
    end loop;
end
$$;

comment on column nearline_data.item.image_uri is 'Address of a picture, as it was loaded; no function of the contract returns it.';

-- Last, as nobody reads the catalogue until the transaction ends. Whether a text was read before is told by the text
-- itself (the kept text vectors), so nothing asks for its hash.
alter table nearline_data.item drop column content_hash;
