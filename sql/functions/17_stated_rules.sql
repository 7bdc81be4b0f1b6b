create or replace function nearline_data._topic_path(of_attribute text, of_value text)
returns jsonpath
language sql immutable parallel safe
begin atomic
    -- As _topics_of: an attribute may be called kind or language too. Names and values go in as JSON: they stay data.
    select format(
        case of_attribute when 'kind' then '($kind == %2$s || $.%1$s == %2$s)' when 'language' then '($language == %2$s || $.%1$s == %2$s)' else '$.%1$s == %2$s' end
      , to_json(of_attribute), to_json(of_value)
    )::jsonpath;
end;
comment on function nearline_data._topic_path is 'The items of a topic, as a path that nearline_data._is_met asks of an item.';

create or replace function nearline_data._stated_rules(for_user text, reads text)
returns setof nearline_data.rule_in_force
language sql stable parallel safe
begin atomic
    select 'stated ' || s.attribute || ': ' || s.value
         , case when s.weight = -1 then 'block' when s.weight < 0 then 'bury' else 'boost' end
         , null::text[]
         , case when s.attribute = 'kind' then array[s.value] end
         , nearline_data._topic_path(s.attribute, s.value)
         , case when s.attribute not in ('kind', 'language') then nearline_data._topic_path(s.attribute, s.value) end
         , null::integer
         -- All of it: two standard deviations of the person's scores over the catalogue.
         , case when s.weight > -1 then greatest(2 * abs(s.weight), 1e-30)::real end
         , null::integer
         , null::text
         , replace(
               coalesce((select l.stated from nearline_data.reason_language l where l.language = reads), 'you asked for more of {}')
             , '{}', s.attribute || ': ' || s.value
           )
    from nearline_data.stated_interest s
    where s.user_id = for_user;
end;
comment on function nearline_data._stated_rules(text, text) is 'What a person said of topics, as rules for their lists. reads: their language; null: English.';
