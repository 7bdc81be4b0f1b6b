create or replace function nearline_data._drop_version_part(of_version integer, part text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
-- One part a transaction: dropping a partition keeps readers from its parent, and who holds one parent and waits for the
-- next meets a reader who came the other way.
begin
    if part not in ('item_embedding', 'item_transition', 'query_embedding', 'user_interest') then
        raise exception 'part is %, expected item_embedding, item_transition, query_embedding or user_interest', quote_literal(part)
            using errcode = '22023';
    end if;
    if exists (select from nearline_data.live_version l where l.model_version = of_version) then
        raise exception 'model version % is live', of_version
            using errcode = '55006', hint = 'Publish another version first.';
    end if;
    delete from nearline_data.cursor c where c.model_version = of_version;
    delete from nearline_data.waiting_event w where w.model_version = of_version;
    delete from nearline_data.interest_without i where i.model_version = of_version;
    if to_regclass('nearline_data.' || part || '_v' || of_version) is null then
        return false;
    end if;
    perform nearline_data._drop_partition(part || '_v' || of_version);
    return true;
end
$$;
comment on function nearline_data._drop_version_part is 'Removes one of the four tables of a version that is not live; its row and its promotions stay. False: it was gone. An error, and nothing done, while others use it.';

create or replace function nearline_data._create_version_partitions(of_version integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    parent text;
begin
    foreach parent in array array['item_embedding', 'item_transition', 'query_embedding', 'user_interest'] loop
        -- Attaching takes a lighter lock than "create table ... partition of": readers and writers go on.
        execute format('create table nearline_data.%I (like nearline_data.%I including all)', parent || '_v' || of_version, parent);
        execute format('comment on table nearline_data.%I is %L', parent || '_v' || of_version, 'Model version ' || of_version || '.');
        execute format('alter table nearline_data.%I attach partition nearline_data.%I for values in (%s)', parent, parent || '_v' || of_version, of_version);
    end loop;
    -- nearline.recommend_for_many divides people among processes: as many as the server allows, however small the table.
    execute format('alter table nearline_data.%I set (parallel_workers = 64)', 'user_interest_v' || of_version);
end
$$;
comment on function nearline_data._create_version_partitions is 'Makes empty partitions for a version that is to be loaded; what an earlier try left is to be dropped before.';

create or replace function nearline_data._build_memory(of_items bigint)
returns integer
language sql stable
-- A graph of 128 numbers and 16 neighbours takes 1227 bytes an item, and one that does not fit is built many times slower.
-- A process of the build wants 32 MB, or there are fewer of them. A server that is set up has a quarter of the machine's
-- memory as shared_buffers, so twice that is half of the machine.
return least(
    32 * (1 + current_setting('max_parallel_maintenance_workers')::integer) + ceil(of_items * 1.3 / 1024)
  , greatest(
        pg_size_bytes(current_setting('maintenance_work_mem')) / 1048576
      , 2 * pg_size_bytes(current_setting('shared_buffers')) / 1048576
      , 1024
    )
)::integer;
comment on function nearline_data._build_memory is 'Megabytes to build the vector index of so many items with: what the graph takes, at most half of a machine whose shared_buffers are a quarter of it, or what maintenance_work_mem or 1 GB allow, if that is more.';

create or replace function nearline_data._index_version(of_version integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, public, pg_temp
as $$
-- After loading, never before: an HNSW graph is built many times faster at once than row by row.
declare
    embeddings constant text := 'item_embedding_v' || of_version;
    transitions constant text := 'item_transition_v' || of_version;
    items integer;
begin
    execute format('select count(*) from nearline_data.%I', embeddings) into items;
    perform set_config('maintenance_work_mem', nearline_data._build_memory(items) || 'MB', true);
    execute format('create unique index %I on nearline_data.%I (item_id)', embeddings || '_item_id_idx', embeddings);
    execute format('create index %I on nearline_data.%I using hnsw (vector vector_ip_ops)', embeddings || '_vector_idx', embeddings);
    execute format('create unique index %I on nearline_data.%I (item_id, next_item_id) include (weight)', transitions || '_item_id_idx', transitions);
    execute format('comment on index nearline_data.%I is %L', embeddings || '_item_id_idx', 'nearline.similar_items, reasons, refresh_interests.');
    execute format('comment on index nearline_data.%I is %L', embeddings || '_vector_idx', 'nearline.recommend: the items nearest to an interest.');
    execute format('comment on index nearline_data.%I is %L', transitions || '_item_id_idx', 'nearline.recommend: likely successors.');
    execute format('analyze nearline_data.%I', embeddings);
    execute format('analyze nearline_data.%I', transitions);
    update nearline_data.model_version m set item_count = items, index_recall = null where m.model_version = of_version;
    return items;
end
$$;
comment on function nearline_data._index_version is 'Indexes and analyses a loaded version; returns its number of items.';
