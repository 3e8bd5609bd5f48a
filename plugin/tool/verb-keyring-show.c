/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "ostream.h"
#include "str.h"
#include "keyring/keyring.h"
#include "tool.h"

#include <getopt.h>

/* keyring show: what a keyring tells to everybody. Nothing is authenticated. */

/* Name and value after a comma. */
static void
append_member(string_t *dest, const char *name, const char *value)
{
	str_printfa(dest, ",\"%s\":", name);
	tool_append_json(dest, value);
}

static void append_costs_json(string_t *dest, const struct keyring_slot *slot)
{
	struct keyring_costs costs;
	const char *error;
	int ret;

	ret = keyring_slot_costs(slot, &costs, &error);
	str_append(dest, ",\"costs\":");
	if (ret > 0) {
		str_printfa(dest, "{\"memory_kib\":%u,\"passes\":%u}",
			    costs.memory_kib, costs.passes);
	} else {
		str_append(dest, "null");
	}
	append_member(dest, "error", ret < 0 ? error : NULL);
}

static void
append_slot_json(string_t *dest, unsigned int idx,
		 const struct keyring_slot *slot)
{
	str_printfa(dest, "%s{\"number\":%u,\"line\":%u",
		    idx == 0 ? "" : ",", idx + 1, slot->line);
	append_member(dest, "kind", slot->kind_name);
	append_member(dest, "method", slot->method);
	append_member(dest, "created", slot->created);
	append_member(dest, "label", slot->label);
	append_member(dest, "recipient", slot->recipient);
	append_member(dest, "identity", slot->identity);
	str_printfa(dest, ",\"listed\":%s", slot->listed ? "true" : "false");
	append_costs_json(dest, slot);
	str_append_c(dest, '}');
}

static void append_json(string_t *dest, const struct keyring *keyring)
{
	const struct age_x25519_recipient *recipients;
	const struct keyring_earlier *earlier;
	const struct keyring_slot *slots;
	unsigned int i, count;

	str_printfa(dest, "{\"version\":%u,\"recipients\":[", KEYRING_VERSION);
	recipients = keyring_recipients(keyring, &count);
	for (i = 0; i < count; i++) {
		str_printfa(dest, "%s\"%s\"", i == 0 ? "" : ",",
			    age_x25519_recipient_str(&recipients[i]));
	}
	str_append(dest, "],\"earlier\":[");
	earlier = keyring_earlier(keyring, &count);
	for (i = 0; i < count; i++) {
		str_printfa(dest, "%s{\"recipient\":\"%s\"", i == 0 ? "" : ",",
			    age_x25519_recipient_str(&earlier[i].recipient));
		append_member(dest, "until", earlier[i].until);
		str_append_c(dest, '}');
	}
	str_append(dest, "],\"slots\":[");
	slots = keyring_slots(keyring, &count);
	for (i = 0; i < count; i++)
		append_slot_json(dest, i, &slots[i]);
	str_append(dest, "]}\n");
}

static void append_costs_text(string_t *dest, const struct keyring_slot *slot)
{
	struct keyring_costs costs;
	const char *error;
	int ret;

	ret = keyring_slot_costs(slot, &costs, &error);
	if (ret > 0) {
		str_printfa(dest, "  costs:     %u KiB, %u pass%s\n",
			    costs.memory_kib, costs.passes,
			    costs.passes == 1 ? "" : "es");
	} else if (ret < 0) {
		str_printfa(dest, "  damaged:   %s\n", tool_printable(error));
	}
}

static void
append_slot_text(string_t *dest, unsigned int idx,
		 const struct keyring_slot *slot)
{
	str_printfa(dest, "slot %u:     %s %s, made %s\n", idx + 1,
		    tool_printable(slot->kind_name),
		    tool_printable(slot->method),
		    tool_printable(slot->created));
	if (slot->label != NULL) {
		str_printfa(dest, "  label:     %s\n",
			    tool_printable(slot->label));
	}
	if (slot->recipient != NULL) {
		str_printfa(dest, "  recipient: %s\n",
			    tool_printable(slot->recipient));
	}
	append_costs_text(dest, slot);
	if (slot->kind == KEYRING_SLOT_UNKNOWN)
		str_append(dest, "  unknown:   of a later version, ignored\n");
	if (slot->identity != NULL) {
		str_printfa(dest, "  marked:    a rotation passed it over, it "
			    "holds %s\n", tool_printable(slot->identity));
	}
	if (!slot->listed) {
		str_append(dest, "  unlisted:  damaged, or put there by "
			   "someone else: remove it\n");
	}
}

static void append_text(string_t *dest, const struct keyring *keyring)
{
	const struct age_x25519_recipient *recipients;
	const struct keyring_earlier *earlier;
	const struct keyring_slot *slots;
	unsigned int i, count;

	str_printfa(dest, "version:    %u\n", KEYRING_VERSION);
	recipients = keyring_recipients(keyring, &count);
	for (i = 0; i < count; i++) {
		str_printfa(dest, "recipient:  %s\n",
			    age_x25519_recipient_str(&recipients[i]));
	}
	earlier = keyring_earlier(keyring, &count);
	for (i = 0; i < count; i++) {
		str_printfa(dest, "earlier:    %s until %s\n",
			    age_x25519_recipient_str(&earlier[i].recipient),
			    tool_printable(earlier[i].until));
	}
	slots = keyring_slots(keyring, &count);
	str_printfa(dest, "slots:      %u\n", count);
	for (i = 0; i < count; i++)
		append_slot_text(dest, i, &slots[i]);
}

static enum tool_exit show(const char *path, bool json)
{
	struct ostream *output;
	struct keyring *keyring;
	enum tool_exit ret;
	string_t *str;

	ret = tool_load_keyring(path, &keyring);
	if (ret != TOOL_DONE)
		return ret;
	str = t_str_new(1024);
	if (json)
		append_json(str, keyring);
	else
		append_text(str, keyring);
	keyring_free(&keyring);
	output = tool_create_output();
	o_stream_nsend(output, str_data(str), str_len(str));
	return tool_finish_output(&output) < 0 ? TOOL_IO : TOOL_DONE;
}

int verb_keyring_show(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 }
	};
	const char *path;
	bool json = FALSE;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return tool_fail_usage("keyring show");
		json = TRUE;
	}
	if (!tool_get_file(argc - optind, argv + optind, &path))
		return TOOL_USAGE;
	return show(path, json);
}
