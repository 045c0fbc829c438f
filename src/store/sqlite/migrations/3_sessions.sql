-- Chat sessions. What a session is about is sealed; `resume` is a digest by which its visitor finds it again.
create table sessions (
    session text not null,
    app text not null,
    resume blob,
    opened_at integer not null,
    active_at integer not null,
    expires_at integer not null,
    started integer not null,
    closed integer not null,
    sealed blob not null,
    primary key (session, app)
) strict, without rowid;
create index sessions_by_expiry on sessions (expires_at);
create index sessions_by_visitor on sessions (app, resume, opened_at) where resume is not null;

-- How many were opened on each day since 1970, in UTC.
create table session_days (
    app text not null,
    day integer not null,
    opened integer not null,
    identified integer not null,
    last_identified integer,
    primary key (app, day)
) strict, without rowid;
