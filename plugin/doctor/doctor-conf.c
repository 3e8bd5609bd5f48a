/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "str.h"
#include "strescape.h"
#include "doctor-conf.h"

/* Both versions print "name = value", "name {" or "name value {", and "}". */

/* Deeper ones than any that Dovecot has are ignored. */
#define MAX_DEPTH 16

struct conf_parser {
	pool_t pool;
	struct doctor_conf *conf;
	struct doctor_section *open[MAX_DEPTH];
	unsigned int depth;
};

static const char *unquote(pool_t pool, const char *value)
{
	size_t size = strlen(value);

	if (size < 2 || value[0] != '"' || value[size - 1] != '"')
		return p_strdup(pool, value);
	return str_unescape(p_strndup(pool, value + 1, size - 2));
}

static struct doctor_setting *
add_setting(struct conf_parser *parser, const char *name, const char *value)
{
	struct doctor_section *section = parser->open[parser->depth];
	struct doctor_setting *setting =
		array_append_space(&section->settings);

	setting->name = p_strdup(parser->pool, name);
	setting->value = unquote(parser->pool, value);
	return setting;
}

static void
begin_section(struct conf_parser *parser, const char *name, const char *value)
{
	struct doctor_section *section =
		p_new(parser->pool, struct doctor_section, 1);

	if (parser->depth + 1 == MAX_DEPTH)
		return;
	p_array_init(&section->settings, parser->pool, 8);
	add_setting(parser, name, value)->section = section;
	parser->open[++parser->depth] = section;
}

static void end_section(struct conf_parser *parser)
{
	if (parser->depth > 0)
		parser->depth--;
}

/* "# 2.4.1-4 (7d8c0e5759): /etc/dovecot/dovecot.conf" is the first line. */
static void parse_comment(struct conf_parser *parser, const char *line)
{
	struct doctor_conf *conf = parser->conf;
	const char *path = strstr(line, "): ");

	if (conf->version[0] != '\0' || path == NULL)
		return;
	line += strspn(line, "# ");
	conf->version = p_strdup_until(parser->pool, line,
				       line + strcspn(line, " "));
	conf->path = p_strdup(parser->pool, path + 3);
}

static void parse_section(struct conf_parser *parser, const char *head)
{
	const char *space = strchr(head, ' ');

	if (space == NULL)
		begin_section(parser, head, "");
	else
		begin_section(parser, t_strdup_until(head, space), space + 1);
}

static void parse_line(struct conf_parser *parser, const char *line)
{
	const char *equals;
	size_t size;

	line += strspn(line, " \t");
	size = strlen(line);
	equals = strstr(line, " =");
	if (*line == '#')
		parse_comment(parser, line);
	else if (strcmp(line, "}") == 0)
		end_section(parser);
	else if (equals != NULL && (equals[2] == ' ' || equals[2] == '\0')) {
		add_setting(parser, t_strdup_until(line, equals),
			    equals[2] == '\0' ? "" : equals + 3);
	} else if (size > 2 && strcmp(line + size - 2, " {") == 0)
		parse_section(parser, t_strndup(line, size - 2));
}

const struct doctor_conf *doctor_conf_parse(pool_t pool, const char *text)
{
	struct conf_parser parser = { .pool = pool };
	const char *end;

	parser.conf = p_new(pool, struct doctor_conf, 1);
	parser.conf->version = parser.conf->path = "";
	p_array_init(&parser.conf->root.settings, pool, 512);
	parser.open[0] = &parser.conf->root;
	for (; *text != '\0'; text = *end == '\0' ? end : end + 1) {
		end = text + strcspn(text, "\n");
		T_BEGIN {
			parse_line(&parser, t_strdup_until(text, end));
		} T_END;
	}
	return parser.conf;
}

const struct doctor_setting *
doctor_section_next(const struct doctor_section *section, const char *name,
		    unsigned int *idx)
{
	const struct doctor_setting *settings;
	unsigned int count;

	settings = array_get(&section->settings, &count);
	while (*idx < count) {
		const struct doctor_setting *setting = &settings[(*idx)++];

		if (setting->section != NULL &&
		    strcmp(setting->name, name) == 0)
			return setting;
	}
	return NULL;
}

const struct doctor_section *
doctor_section_find(const struct doctor_section *section, const char *name,
		    const char *value)
{
	const struct doctor_setting *setting;
	unsigned int idx = 0;

	while ((setting = doctor_section_next(section, name, &idx)) != NULL) {
		if (strcmp(setting->value, value) == 0)
			return setting->section;
	}
	return NULL;
}

const char *doctor_section_get(const struct doctor_section *section,
			       const char *name)
{
	const struct doctor_setting *setting;
	const char *value = NULL;

	array_foreach(&section->settings, setting) {
		if (setting->section == NULL &&
		    strcmp(setting->name, name) == 0)
			value = setting->value;
	}
	return value;
}

const char *doctor_section_str(const struct doctor_section *section,
			       const char *name)
{
	const char *value = section == NULL ? NULL :
		doctor_section_get(section, name);

	return value == NULL ? "" : value;
}

static bool protocol_matches(const char *mask, const char *protocol)
{
	if (protocol == NULL)
		return FALSE;
	if (*mask == '!')
		return strcmp(mask + 1, protocol) != 0;
	return strcmp(mask, protocol) == 0;
}

/* What counts for the protocol, as callback sees it: all, then its blocks. */
static void
walk(const struct doctor_conf *conf, const char *protocol,
     void (*callback)(const struct doctor_section *section, void *context),
     void *context)
{
	const struct doctor_setting *block;
	unsigned int idx = 0;

	callback(&conf->root, context);
	while ((block = doctor_section_next(&conf->root, "protocol",
					    &idx)) != NULL) {
		if (protocol_matches(block->value, protocol))
			callback(block->section, context);
	}
}

struct lookup {
	const char *name, *value;
	ARRAY_TYPE(const_string) words;
};

/* On 2.4 "mail_seal_save = no" is shown as "mail_seal { save = no }" where
   there may be such a section, and as its default beside it. */
static const char *
get_in_filter(const struct doctor_section *section, const char *name,
	      const char *value)
{
	const struct doctor_setting *filter;

	array_foreach(&section->settings, filter) {
		size_t size = strlen(filter->name);
		const char *inner;

		if (filter->section == NULL || *filter->value != '\0' ||
		    strncmp(filter->name, name, size) != 0 ||
		    name[size] != '_')
			continue;
		inner = doctor_section_get(filter->section, name + size + 1);
		if (inner != NULL)
			value = inner;
	}
	return value;
}

static void look_up(const struct doctor_section *section, void *context)
{
	struct lookup *lookup = context;
	const char *value = doctor_section_get(section, lookup->name);

	value = get_in_filter(section, lookup->name, value);
	if (value != NULL)
		lookup->value = value;
}

const char *doctor_conf_get(const struct doctor_conf *conf,
			    const char *protocol, const char *name)
{
	struct lookup lookup = { .name = name, .value = "" };

	walk(conf, protocol, look_up, &lookup);
	return lookup.value;
}

#if DOVECOT_PREREQ(2, 4, 0)
const char *doctor_conf_get_plugin(const struct doctor_conf *conf,
				   const char *protocol, const char *name)
{
	return doctor_conf_get(conf, protocol, name);
}
#else
static void look_up_plugin(const struct doctor_section *section, void *context)
{
	section = doctor_section_find(section, "plugin", "");
	if (section != NULL)
		look_up(section, context);
}

const char *doctor_conf_get_plugin(const struct doctor_conf *conf,
				   const char *protocol, const char *name)
{
	struct lookup lookup = { .name = name, .value = "" };

	walk(conf, protocol, look_up_plugin, &lookup);
	return lookup.value;
}
#endif

static void remove_word(struct lookup *lookup, const char *word)
{
	const char *const *words;
	unsigned int i, count;

	words = array_get(&lookup->words, &count);
	for (i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0) {
			array_delete(&lookup->words, i, 1);
			return;
		}
	}
}

static void add_word(struct lookup *lookup, const char *word)
{
	remove_word(lookup, word);
	array_push_back(&lookup->words, &word);
}

/* On 2.4 a section adds words and takes some away. */
static void
change_words(struct lookup *lookup, const struct doctor_section *section)
{
	const struct doctor_setting *setting;

	array_foreach(&section->settings, setting) {
		if (strcmp(setting->value, "yes") == 0)
			add_word(lookup, setting->name);
		else
			remove_word(lookup, setting->name);
	}
}

static void look_up_words(const struct doctor_section *section, void *context)
{
	struct lookup *lookup = context;
	const struct doctor_setting *setting;

	array_foreach(&section->settings, setting) {
		if (strcmp(setting->name, lookup->name) != 0)
			continue;
		if (setting->section != NULL) {
			change_words(lookup, setting->section);
			continue;
		}
		array_clear(&lookup->words);
		const char *const *word =
			t_strsplit_spaces(setting->value, " ,\t");
		for (; *word != NULL; word++)
			add_word(lookup, *word);
	}
}

const char *const *doctor_conf_list(const struct doctor_conf *conf,
				    const char *protocol, const char *name)
{
	struct lookup lookup = { .name = name };

	t_array_init(&lookup.words, 16);
	walk(conf, protocol, look_up_words, &lookup);
	array_append_zero(&lookup.words);
	return array_front(&lookup.words);
}

bool doctor_conf_list_is_own(const struct doctor_conf *conf,
			     const char *protocol, const char *name,
			     const char *word)
{
	const struct doctor_setting *block;
	const struct doctor_section *list;
	unsigned int idx = 0;

	while ((block = doctor_section_next(&conf->root, "protocol",
					    &idx)) != NULL) {
		if (!protocol_matches(block->value, protocol))
			continue;
		if (doctor_section_get(block->section, name) != NULL)
			return TRUE;
		list = doctor_section_find(block->section, name, "");
		if (list != NULL && doctor_section_get(list, word) != NULL)
			return TRUE;
	}
	return FALSE;
}
