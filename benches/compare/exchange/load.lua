-- One fixed exchange; wrk formats it once.
wrk.method = "POST"
wrk.body = '@body@'
wrk.headers["Content-Type"] = "application/json"
