-- One fixed request; wrk formats it once.
wrk.method = "POST"
wrk.body = '@body@'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer @token@"
wrk.headers["Origin"] = "@origin@"
