create or replace function nearline_data._matching_path(matching jsonb)
returns jsonpath
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Names and values go in as JSON literals: whatever is in them stays data.
declare
    attribute text;
    wanted jsonb;
    bound text;
    limited_by jsonb;
    operators constant jsonb := '{"below": "<", "above": ">", "from": ">=", "to": "<="}';
    conditions text[] := '{}';
begin
    if jsonb_typeof(matching) <> 'object' then
        raise exception 'matching is a JSON %, expected an object', jsonb_typeof(matching)
            using errcode = '22023', hint = 'Such as {"brand": ["Tern", "Oakhurst"], "price": {"below": 50}}.';
    end if;
    if length(matching::text) > 10000 then
        raise exception 'matching has % characters, expected at most 10000', length(matching::text)
            using errcode = '54000', hint = 'Ask for less at once.';
    end if;
    if jsonb_typeof(matching -> 'language') <> 'string' and (
        jsonb_typeof(matching -> 'language') <> 'array' or matching -> 'language' = '[]'
        or jsonb_path_exists(matching, 'strict $.language[*] ? (@.type() != "string")', '{}', true)
    ) then
        raise exception 'matching ''language'' is %, expected a text or some texts', left((matching -> 'language')::text, 100)
            using errcode = '22023', hint = 'Such as {"language": ["en", "zh"]}.';
    end if;
    for attribute, wanted in select m.key, m.value from jsonb_each(matching - 'language') m loop
        if jsonb_typeof(wanted) = 'object' then
            if wanted = '{}' then
                raise exception 'matching % is {}, expected below, above, from or to', quote_literal(left(attribute, 100))
                    using errcode = '22023', hint = 'Such as {"price": {"from": 10, "below": 50}}.';
            end if;
            for bound, limited_by in select b.key, b.value from jsonb_each(wanted) b loop
                if not operators ? bound or jsonb_typeof(limited_by) not in ('number', 'string') then
                    raise exception 'matching % has % of %, expected below, above, from or to with a number or a text'
                        , quote_literal(left(attribute, 100)), quote_literal(left(bound, 100)), left(limited_by::text, 100)
                        using errcode = '22023', hint = 'Such as {"price": {"from": 10, "below": 50}}.';
                end if;
                conditions := conditions || format('$.%s %s %s', to_json(attribute), operators ->> bound, limited_by);
            end loop;
        elsif jsonb_typeof(wanted) = 'array' then
            if jsonb_array_length(wanted) = 0 or exists (
                select from jsonb_array_elements(wanted) v where jsonb_typeof(v.value) in ('object', 'array')
            ) then
                raise exception 'matching % is %, expected some texts, numbers or booleans', quote_literal(left(attribute, 100)), left(wanted::text, 100)
                    using errcode = '22023', hint = 'A list means: any of these.';
            end if;
            conditions := conditions || (
                select '(' || string_agg(format('$.%s == %s', to_json(attribute), v.value), ' || ') || ')'
                from jsonb_array_elements(wanted) v
            );
        else
            conditions := conditions || format('$.%s == %s', to_json(attribute), wanted);
        end if;
    end loop;
    return nullif(array_to_string(conditions, ' && '), '')::jsonpath;
end
$$;
comment on function nearline_data._matching_path is 'A filter on attributes as a JSON path that item_attributes_idx serves where something is asked to be equal; null where nothing is asked.';

create or replace function nearline_data._matching_languages(matching jsonb)
returns text[]
language sql immutable parallel safe
begin atomic
    select case jsonb_typeof(matching -> 'language')
               when 'string' then array[lower(matching ->> 'language' collate "C") || '-']
               when 'array' then array(select lower(l.tag collate "C") || '-' from jsonb_array_elements_text(matching -> 'language') as l (tag))
           end;
end;
comment on function nearline_data._matching_languages is 'The languages that a filter asks for, as nearline_data._is_spoken compares them: in small letters, each with a hyphen at its end; null: any.';

create or replace function nearline_data._is_spoken(language text, languages text[])
returns boolean
language sql immutable parallel safe
begin atomic
    -- en is also en-GB: basic filtering of RFC 4647. Without a subquery, so that it becomes part of the query that calls it.
    select languages is null or (lower(language collate "C") || '-') ^@ any (languages);
end;
comment on function nearline_data._is_spoken is 'Whether a language is one of those asked for, whole or as far as one of its hyphens; languages: of nearline_data._matching_languages, null asks for any.';

create or replace function nearline_data._is_met(attributes jsonb, kind text, language text, path jsonpath)
returns boolean
language sql stable parallel safe
begin atomic
    select path is not null
       and coalesce(jsonb_path_match(attributes, path, jsonb_build_object('kind', kind, 'language', language), true), false);
end;
comment on function nearline_data._is_met is 'Whether an item meets a path over its attributes that may ask for $kind and $language too; nothing meets null.';
