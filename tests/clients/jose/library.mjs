// npm's jose, where scripts/setup.sh puts it.

import { createRequire } from "node:module";

export async function library() {
    const installed = new URL("../../../target/test-clients/jose/package.json", import.meta.url);
    return createRequire(installed)("jose");
}
