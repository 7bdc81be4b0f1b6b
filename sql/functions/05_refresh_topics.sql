create or replace function nearline_data._topics_of(of_attributes jsonb, of_kind text, of_language text)
returns table (attribute text, value text)
language sql immutable parallel safe
begin atomic
    select a.key, t.value
    from jsonb_each(of_attributes) a
    cross join lateral (
        select a.value #>> '{}' where jsonb_typeof(a.value) = 'string'
        union
        select e.value #>> '{}'
        from jsonb_array_elements(case jsonb_typeof(a.value) when 'array' then a.value else '[]' end) e
        where jsonb_typeof(e.value) = 'string'
    ) t (value)
    where length(a.key) <= 64 and length(t.value) between 1 and 64  -- longer ones are texts, no topics
    union all
    select 'kind', of_kind
    union all
    select 'language', of_language where of_language is not null;
end;
comment on function nearline_data._topics_of is 'What an item is about: the texts among its attributes, its kind and its language.';

create or replace function nearline_data._refresh_topics()
returns bigint
language sql volatile security definer
begin atomic
    with counted as materialized (
        select t.attribute, t.value, count(*)::integer as items
        from nearline_data.item i
        cross join lateral nearline_data._topics_of(i.attributes, i.kind, i.language) t
        where i.is_active
        group by t.attribute, t.value
        having count(*) > 1
        order by count(*) desc, t.attribute, t.value
        limit 100000
    ), gone as (
        delete from nearline_data.topic o
        where not exists (select from counted c where c.attribute = o.attribute and c.value = o.value)
    ), written as (
        insert into nearline_data.topic as old (attribute, value, item_count, share)
        select c.attribute, c.value, c.items
             , c.items::real / (select count(*) from nearline_data.item i where i.is_active)
        from counted c
        on conflict (attribute, value) do update set item_count = excluded.item_count, share = excluded.share
        where old.item_count <> excluded.item_count or old.share <> excluded.share
        returning 1
    )
    select count(*) from written;
end;
comment on function nearline_data._refresh_topics is 'Counts the topics of the catalogue anew; returns how many changed. One that a single item has is none.';
