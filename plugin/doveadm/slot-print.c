/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "str.h"
#include "doveadm-seal.h"

/* Slots as people read them. */

const char *seal_slot_state(const struct keyring_slot *slot)
{
	struct keyring_costs costs;
	const char *error;

	if (!slot->listed)
		return "unlisted";
	if (slot->kind == KEYRING_SLOT_PASSWORD &&
	    keyring_slot_costs(slot, &costs, &error) < 0)
		return "refused";
	return slot->identity != NULL ? "outdated" : "good";
}

const char *seal_slot_memory(const struct keyring_slot *slot)
{
	struct keyring_costs costs;
	const char *error;

	if (slot->kind != KEYRING_SLOT_PASSWORD ||
	    keyring_slot_costs(slot, &costs, &error) <= 0)
		return "";
	return costs.memory_kib % 1024 == 0 ?
		t_strdup_printf("%uM", costs.memory_kib / 1024) :
		t_strdup_printf("%uk", costs.memory_kib);
}

const char *seal_slot_passes(const struct keyring_slot *slot)
{
	struct keyring_costs costs;
	const char *error;

	if (slot->kind != KEYRING_SLOT_PASSWORD ||
	    keyring_slot_costs(slot, &costs, &error) <= 0)
		return "";
	return dec2str(costs.passes);
}

static void append_slot(string_t *str, const struct keyring_slot *slot,
			unsigned int number)
{
	str_printfa(str, "%u %s %s %s", number, slot->kind_name, slot->method,
		    slot->created);
	if (slot->label != NULL)
		str_printfa(str, " label=\"%s\"", slot->label);
	if (*seal_slot_memory(slot) != '\0') {
		str_printfa(str, " memory=%s passes=%s",
			    seal_slot_memory(slot), seal_slot_passes(slot));
	}
	if (slot->kind == KEYRING_SLOT_ESCROW && slot->recipient != NULL)
		str_printfa(str, " recipient=%s", slot->recipient);
	if (strcmp(seal_slot_state(slot), "good") != 0)
		str_printfa(str, " %s", seal_slot_state(slot));
}

const char *seal_slots_str(const struct keyring *keyring)
{
	const struct keyring_slot *slots;
	string_t *str = t_str_new(256);
	unsigned int i, count;

	slots = keyring_slots(keyring, &count);
	for (i = 0; i < count; i++) {
		if (i > 0)
			str_append(str, "; ");
		append_slot(str, &slots[i], i + 1);
	}
	return str_c(str);
}

const char *seal_recipients_str(const struct keyring *keyring)
{
	const struct age_x25519_recipient *recipients;
	unsigned int count;

	recipients = keyring_recipients(keyring, &count);
	return age_x25519_recipients_str(recipients, count);
}
