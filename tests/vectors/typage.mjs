// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The npm package age-encryption as a filter from standard input to output:
//
//   node typage.mjs DIR seal RECIPIENT|open IDENTITY|lock PASSPHRASE|unlock PASSPHRASE [armor]
//
// DIR holds node_modules. The passphrases are those of tests.

import { readFileSync, writeFileSync } from "node:fs"
import { webcrypto } from "node:crypto"
import { pathToFileURL } from "node:url"

globalThis.crypto ??= webcrypto

const [dir, verb, key, armor] = process.argv.slice(2)
const age = await import(pathToFileURL(
	`${dir}/node_modules/age-encryption/dist/index.js`))
const input = new Uint8Array(readFileSync(0))

async function seal(prepare) {
	const encrypter = new age.Encrypter()
	prepare(encrypter)
	const file = await encrypter.encrypt(input)
	return armor ? age.armor.encode(file) : file
}

async function open(prepare) {
	const decrypter = new age.Decrypter()
	prepare(decrypter)
	const file = armor ?
		age.armor.decode(new TextDecoder().decode(input)) : input
	return await decrypter.decrypt(file, "uint8array")
}

const verbs = {
	seal: () => seal((e) => e.addRecipient(key)),
	open: () => open((d) => d.addIdentity(key)),
	lock: () => seal((e) => {
		e.setScryptWorkFactor(10)
		e.setPassphrase(key)
	}),
	unlock: () => open((d) => d.addPassphrase(key)),
}

writeFileSync(1, await verbs[verb]())
