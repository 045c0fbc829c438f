// Makes a token: node make.mjs CLAIMS SIGNING_PRIVATE_PEM ENCRYPTION_PUBLIC_PEM. Prints it.

import { library } from "./library.mjs";

const { CompactEncrypt, SignJWT, importPKCS8, importSPKI } = await library();
const [claims, signs, seals] = process.argv.slice(2);
const signed = await new SignJWT(JSON.parse(claims))
    .setProtectedHeader({ typ: "JWT", alg: "RS256" })
    .sign(await importPKCS8(signs, "RS256"));
const sealed = await new CompactEncrypt(new TextEncoder().encode(signed))
    .setProtectedHeader({ alg: "RSA-OAEP", enc: "A256GCM" })
    .encrypt(await importSPKI(seals, "RSA-OAEP"));
console.log(sealed);
