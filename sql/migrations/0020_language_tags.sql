-- Languages are compared as RFC 4647 says: whatever the case of their letters.
set local role nearline_owner;

drop index nearline_data.item_language_idx;
create index item_language_idx on nearline_data.item (lower(split_part(language, '-', 1) collate "C"));
comment on index nearline_data.item_language_idx is 'nearline.recommend: the items of a language that few have.';
