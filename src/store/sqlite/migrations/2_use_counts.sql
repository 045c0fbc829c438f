-- How often service tokens were used, and when last.
create table use_counts (
    token text not null,
    uses integer not null,
    last_used integer not null,
    primary key (token)
) strict, without rowid;
