set local role nearline_owner;

alter type nearline_data.near_items add attribute looked_up_by text;
comment on column nearline_data.near_items.looked_up_by is
'Of a search of few items the filter that they were looked up by: path, kinds or languages; null: the search was another.';

-- Its first parameter has another name now; sql/functions has the new one.
drop function if exists nearline_data._few(text, integer, text[], jsonpath, text[], jsonpath);
