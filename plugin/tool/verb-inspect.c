/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "ostream.h"
#include "str.h"
#include "age/chunk.h"
#include "stream/istream-age.h"
#include "istream-armor.h"
#include "tool.h"

#include <getopt.h>

struct inspect {
	bool json, armored, header_seen;
	/* The stanzas as they will be printed. */
	string_t *stanzas;
	unsigned int stanzas_count;
	uoff_t header_size, file_size, plain_size;
};

static void
append_stanza_json(string_t *dest, const struct age_stanza *stanza)
{
	unsigned int i;

	str_append(dest, "{\"type\":");
	tool_append_json(dest, stanza->args[0]);
	str_append(dest, ",\"args\":[");
	for (i = 1; i < stanza->args_count; i++) {
		if (i > 1)
			str_append_c(dest, ',');
		tool_append_json(dest, stanza->args[i]);
	}
	str_printfa(dest, "],\"body_size\":%zu}", stanza->body_size);
}

static void
append_stanza_text(string_t *dest, const struct age_stanza *stanza)
{
	unsigned int i;

	str_append(dest, "stanza:   ");
	for (i = 0; i < stanza->args_count; i++)
		str_printfa(dest, " %s", stanza->args[i]);
	str_printfa(dest, " (body: %zu bytes)\n", stanza->body_size);
}

/* Sees the header as the stream parsed it, and opens nothing. */
static int see_header(const struct age_header *header,
		      uint8_t file_key_r[AGE_FILE_KEY_SIZE] ATTR_UNUSED,
		      const char **error_r ATTR_UNUSED, void *context)
{
	struct inspect *inspect = context;
	unsigned int i;

	inspect->header_seen = TRUE;
	inspect->header_size = header->size;
	inspect->stanzas_count = header->stanzas_count;
	for (i = 0; i < header->stanzas_count; i++) {
		if (!inspect->json) {
			append_stanza_text(inspect->stanzas,
					   &header->stanzas[i]);
			continue;
		}
		if (i > 0)
			str_append_c(inspect->stanzas, ',');
		append_stanza_json(inspect->stanzas, &header->stanzas[i]);
	}
	return 0;
}

static enum tool_exit
fail_source(struct inspect *inspect, struct istream *source, const char *name)
{
	const char *error = i_stream_get_error(source);

	if (inspect->armored && i_stream_armor_is_malformed(source))
		return tool_fail(TOOL_BAD_HEADER, name, "%s", error);
	return tool_fail(TOOL_IO, name, "can't read it: %s", error);
}

static enum tool_exit
read_header(struct inspect *inspect, struct istream *source, const char *name)
{
	struct istream *input;
	enum tool_exit ret = TOOL_DONE;

	input = i_stream_create_age(source, see_header, inspect);
	while (i_stream_read(input) == 0)
		tool_wait_input(input);
	if (i_stream_age_failure(input) == AGE_ISTREAM_IO)
		ret = fail_source(inspect, source, name);
	else if (!inspect->header_seen) {
		ret = tool_fail(TOOL_BAD_HEADER, name, "%s",
				i_stream_get_error(input));
	}
	i_stream_destroy(&input);
	return ret;
}

static enum tool_exit
find_size(struct inspect *inspect, struct istream *source, const char *name)
{
	ssize_t ret = 0;

	if (i_stream_get_size(source, TRUE, &inspect->file_size) > 0)
		return TOOL_DONE;
	/* A pipe or armor: its end tells. */
	do {
		if (ret == 0 && !source->blocking)
			tool_wait_input(source);
		i_stream_skip(source, i_stream_get_data_size(source));
		ret = i_stream_read(source);
	} while (ret >= 0);
	inspect->file_size = source->v_offset + i_stream_get_data_size(source);
	return source->stream_errno == 0 ? TOOL_DONE :
		fail_source(inspect, source, name);
}

static uoff_t chunk_count(const struct inspect *inspect)
{
	return inspect->plain_size == 0 ? 1 :
		(inspect->plain_size - 1) / AGE_CHUNK_SIZE + 1;
}

static void append_json(string_t *dest, struct inspect *inspect, bool whole)
{
	str_printfa(dest, "{\"version\":\"%s\",\"armored\":%s,"
		    "\"stanzas\":[%s],\"header_size\":%"PRIuUOFF_T","
		    "\"file_size\":%"PRIuUOFF_T",", AGE_VERSION_LINE,
		    inspect->armored ? "true" : "false",
		    str_c(inspect->stanzas), inspect->header_size,
		    inspect->file_size);
	if (!whole) {
		str_append(dest, "\"chunk_count\":null,"
			   "\"plaintext_size\":null}\n");
		return;
	}
	str_printfa(dest, "\"chunk_count\":%"PRIuUOFF_T","
		    "\"plaintext_size\":%"PRIuUOFF_T"}\n",
		    chunk_count(inspect), inspect->plain_size);
}

static void append_text(string_t *dest, struct inspect *inspect, bool whole)
{
	str_printfa(dest, "version:   %s\narmored:   %s\nstanzas:   %u\n%s"
		    "header:    %"PRIuUOFF_T" bytes\n"
		    "file:      %"PRIuUOFF_T" bytes%s\n", AGE_VERSION_LINE,
		    inspect->armored ? "yes" : "no", inspect->stanzas_count,
		    str_c(inspect->stanzas), inspect->header_size,
		    inspect->file_size,
		    inspect->armored ? " without the armor" : "");
	if (whole) {
		str_printfa(dest, "chunks:    %"PRIuUOFF_T"\n"
			    "plaintext: %"PRIuUOFF_T" bytes\n",
			    chunk_count(inspect), inspect->plain_size);
	}
}

static enum tool_exit print(struct inspect *inspect, const char *name)
{
	struct ostream *output = tool_create_output();
	string_t *str = str_new(default_pool, 1024);
	bool whole;

	whole = inspect->file_size >= inspect->header_size &&
		age_payload_plain_size(inspect->file_size -
				       inspect->header_size,
				       &inspect->plain_size);
	if (inspect->json)
		append_json(str, inspect, whole);
	else
		append_text(str, inspect, whole);
	o_stream_nsend(output, str_data(str), str_len(str));
	str_free(&str);
	if (tool_finish_output(&output) < 0)
		return TOOL_IO;
	if (!whole) {
		return tool_fail(TOOL_BAD_PAYLOAD, name, "The file is cut: "
			"no whole one has a payload of %"PRIuUOFF_T" bytes",
			inspect->file_size - inspect->header_size);
	}
	return TOOL_DONE;
}

static enum tool_exit inspect_file(struct inspect *inspect, const char *path)
{
	const char *name = tool_input_name(path);
	struct istream *source;
	enum tool_exit ret;

	if (tool_open_input(path, &source) < 0)
		return TOOL_IO;
	inspect->armored = tool_remove_armor(&source) > 0;
	inspect->stanzas = str_new(default_pool, 256);
	ret = read_header(inspect, source, name);
	if (ret == TOOL_DONE)
		ret = find_size(inspect, source, name);
	if (ret == TOOL_DONE)
		ret = print(inspect, name);
	str_free(&inspect->stanzas);
	i_stream_destroy(&source);
	return ret;
}

int verb_inspect(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 }
	};
	struct inspect inspect;
	const char *file;
	int c;

	i_zero(&inspect);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return tool_fail_usage(argv[0]);
		inspect.json = TRUE;
	}
	if (!tool_get_file(argc - optind, argv + optind, &file))
		return TOOL_USAGE;
	return inspect_file(&inspect, file);
}
