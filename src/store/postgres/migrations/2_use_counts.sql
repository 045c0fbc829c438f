-- How often service tokens were used, and when last: milliseconds since 1970.
create table use_counts (
    token text collate "C" not null,
    uses bigint not null,
    last_used bigint not null,
    primary key (token)
);
