// Opens a token: node open.mjs TOKEN ENCRYPTION_PRIVATE_PEM SIGNING_PUBLIC_PEM. Prints its headers and claims.

import { library } from "./library.mjs";

const { compactDecrypt, importPKCS8, importSPKI, jwtVerify } = await library();
const [token, opens, checks] = process.argv.slice(2);
const { plaintext, protectedHeader: outer } = await compactDecrypt(token, await importPKCS8(opens, "RSA-OAEP"), {
    keyManagementAlgorithms: ["RSA-OAEP"],
    contentEncryptionAlgorithms: ["A256GCM"],
});
const signed = new TextDecoder().decode(plaintext);
const { payload: claims, protectedHeader: inner } = await jwtVerify(signed, await importSPKI(checks, "RS256"), {
    algorithms: ["RS256"],
});
console.log(JSON.stringify({ outer, inner, claims }));
