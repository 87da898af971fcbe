"""The tree of commands. A command's module is imported only when it is called, so that ``--help`` is quick."""

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """A group whose commands are named by module, attribute and one line of help."""

    def __init__(self, lazy: Mapping[str, tuple[str, str]], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # click's own options, passed through
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order in which they are meant to be read."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command itself, imported now."""
        if name not in self._lazy:
            return None
        module, _, attribute = self._lazy[name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name when there is no such command."""
        import difflib

        if args and args[0] not in self._lazy and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self._lazy, n=1)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._lazy)}"
            raise click.UsageError(f"no command {args[0]!r}; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the lines given here: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self._lazy.items()])


class DocumentFirst(LazyGroup):
    """A group whose commands may also be named after the document: ``label report.pdf add ransomware``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As always, with the first two words exchanged where only the second one is a command."""
        if len(args) > 1 and args[0] not in self._lazy and args[1] in self._lazy:
            args = [args[1], args[0], *args[2:]]
        return super().resolve_command(ctx, args)


COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("etl_assets.cli.demo:demo", "Take bundled documents through every stage, to cited answers."),
    "init": ("etl_assets.cli.init:init", "Write a commented collections.yaml."),
    "document": ("etl_assets.cli.group:document", "Add, remove, list and explain documents."),
    "collection": ("etl_assets.cli.group:collection", "Delete whole collections."),
    "import": ("etl_assets.cli.group:importing", "Bring in an index of another system with its vectors."),
    "tenant": ("etl_assets.cli.group:tenant", "Delete all that a tenant has."),
    "certificate": ("etl_assets.cli.group:certificate", "List and check what proves a deletion."),
    "history": ("etl_assets.cli.group:history", "Remove what was kept long enough."),
    "plan": ("etl_assets.cli.plan:plan", "Say what the next runs would do, take and cost, and why."),
    "sync": ("etl_assets.cli.sync:sync", "Compute and publish what is new, changed or removed."),
    "runs": ("etl_assets.cli.group:runs", "List, show and cancel runs."),
    "monitor": ("etl_assets.cli.monitor:monitor", "Watch what waits, works and fails."),
    "pause": ("etl_assets.cli.control:pause", "Let no run begin, of a tenant, a collection or at all."),
    "resume": ("etl_assets.cli.control:resume", "Lift a pause: what waited goes on."),
    "prioritise": ("etl_assets.cli.control:prioritise", "Let some runs begin before others."),
    "search": ("etl_assets.cli.search:search", "Find cited answers."),
    "searches": ("etl_assets.cli.group:searches", "List, run again and remove saved searches."),
    "entity": ("etl_assets.cli.group:entity", "Ask the graph: what is said of an entity, what is near it."),
    "label": ("etl_assets.cli.group:label", "Correct labels and links of one document, and learn from it."),
    "catalogue": ("etl_assets.cli.group:catalogue", "Bring the names that documents are linked to."),
    "status": ("etl_assets.cli.status:status", "Show what is current, pending and quarantined."),
    "quarantine": ("etl_assets.cli.group:quarantine", "Show what could not be processed, and try it again."),
    "check": ("etl_assets.cli.check:check", "Prove that what is stored is right."),
    "generation": ("etl_assets.cli.group:generation", "Change a collection's model or chunking while it answers."),
    "repair": ("etl_assets.cli.repair:repair", "Make every store equal to the ledger again."),
    "index": ("etl_assets.cli.group:index", "Measure the indexes, and build them anew."),
    "lineage": ("etl_assets.cli.lineage:lineage", "Tell what something came from, down to the bytes."),
    "impact": ("etl_assets.cli.lineage:impact", "Tell what rests on something."),
    "report": ("etl_assets.cli.report:report", "Write a page on a document, or an overview of a collection."),
    "export": ("etl_assets.cli.group:export", "Write what was found as STIX 2.1 or as Parquet."),
    "sql": ("etl_assets.cli.sql:sql", "Ask one SELECT of the rows of every stage and the ledger."),
    "evaluate": ("etl_assets.cli.evaluate:evaluate", "Measure search against judged queries."),
    "keys": ("etl_assets.cli.group:keys", "Make, rotate and list the keys of encryption at rest."),
    "backends": ("etl_assets.cli.group:backends", "Try the backend of every role."),
    "backup": ("etl_assets.cli.group:backup", "Back up a home, list backups and prune them."),
    "restore": ("etl_assets.cli.backup:restore", "Bring a home back from a backup."),
    "verify-backup": ("etl_assets.cli.backup:verify", "Prove that backups can be restored."),
    "migrate": ("etl_assets.cli.migrate:migrate", "Bring ledger, graph and vector indexes up to date."),
    "secrets": ("etl_assets.cli.group:secrets", "Change secrets that a store holds."),
    "ui": ("etl_assets.cli.ui:ui", "Serve the Dagster UI, with the arrival sensor on."),
    "workers": ("etl_assets.cli.workers:workers", "Execute queued runs, as one of several machines."),
}

DOCUMENT: Mapping[str, tuple[str, str]] = {
    "add": ("etl_assets.cli.document_add:add", "Copy files, folders or globs into a collection."),
    "remove": ("etl_assets.cli.document_remove:remove", "Take documents out of their collections."),
    "delete": ("etl_assets.cli.document_delete:delete_document", "Delete documents everywhere, with a certificate."),
    "list": ("etl_assets.cli.document_list:list_documents", "List documents and their states."),
    "show": ("etl_assets.cli.document_show:show", "Explain one document: stages, publications, quarantine."),
    "duplicates": ("etl_assets.cli.document_duplicates:duplicates", "List what repeats one another."),
    "diff": ("etl_assets.cli.document_versions:diff_versions", "Show how two versions differ."),
    "republish": ("etl_assets.cli.document_versions:republish_version", "Publish an earlier version again."),
    "history": ("etl_assets.cli.document_show:history", "Tell what happened to one document, in order."),
}

COLLECTION: Mapping[str, tuple[str, str]] = {
    "delete": ("etl_assets.cli.document_delete:delete_collection", "Delete a collection, with a certificate."),
}

TENANT: Mapping[str, tuple[str, str]] = {
    "delete": ("etl_assets.cli.document_delete:delete_tenant", "Delete a tenant's collections, with a certificate."),
}

CERTIFICATE: Mapping[str, tuple[str, str]] = {
    "list": ("etl_assets.cli.certificate:list_certificates", "List certificates, and deletions without one."),
    "verify": ("etl_assets.cli.certificate:verify_certificate", "Check the signature of a certificate."),
    "public-key": ("etl_assets.cli.certificate:public_key", "Print the key to check certificates with."),
}

HISTORY: Mapping[str, tuple[str, str]] = {
    "prune": ("etl_assets.cli.history:prune", "Apply the retention of collections.yaml."),
}

RUNS: Mapping[str, tuple[str, str]] = {
    "list": ("etl_assets.cli.runs:list_runs", "List runs at work, those that wait, and those that ended."),
    "show": ("etl_assets.cli.runs:show_run", "Show what a run did, or how far it is."),
    "cancel": ("etl_assets.cli.runs:cancel_runs", "Stop runs, or keep them from beginning."),
}

QUARANTINE: Mapping[str, tuple[str, str]] = {
    "list": ("etl_assets.cli.quarantine:list_held", "List what is held back, and why."),
    "retry": ("etl_assets.cli.quarantine:retry", "Try documents again."),
}

SEARCHES: Mapping[str, tuple[str, str]] = {
    "list": ("etl_assets.cli.searches:list_searches", "List the saved searches."),
    "show": ("etl_assets.cli.searches:show_search", "Show a saved search and what it found."),
    "run": ("etl_assets.cli.searches:run_searches", "Ask saved searches again."),
    "remove": ("etl_assets.cli.searches:remove_search", "Forget a saved search."),
}

IMPORT: Mapping[str, tuple[str, str]] = {
    "jsonl": ("etl_assets.cli.importing:jsonl", "Bring in JSON lines of id, text, vector and metadata."),
    "lancedb": ("etl_assets.cli.importing:lancedb", "Bring in a table of LanceDB."),
    "chroma": ("etl_assets.cli.importing_servers:chroma", "Bring in a collection of Chroma."),
    "qdrant": ("etl_assets.cli.importing_servers:qdrant", "Bring in a collection of Qdrant."),
    "list": ("etl_assets.cli.importing:list_imports", "List what was brought in."),
    "undo": ("etl_assets.cli.importing:undo_import", "Take back what an import brought."),
}

ENTITY: Mapping[str, tuple[str, str]] = {
    "show": ("etl_assets.cli.entity:show", "Tell what documents say of an entity."),
    "neighbours": ("etl_assets.cli.entity:neighbours", "List what stands near it, with the sentences that connect."),
    "path": ("etl_assets.cli.entity:path", "Show a shortest way between two entities."),
    "merge": ("etl_assets.cli.entity_corrections:merge", "Say that two entities are one."),
    "split": ("etl_assets.cli.entity_corrections:split", "Say that a text means another entity."),
    "corrections": ("etl_assets.cli.entity_corrections:list_corrections", "List what was merged and split."),
    "undo": ("etl_assets.cli.entity_corrections:undo", "Take a merge or a split back."),
}

CATALOGUE: Mapping[str, tuple[str, str]] = {
    "add": ("etl_assets.cli.catalogue:add", "Use a STIX 2.1 bundle beside what is used."),
    "replace": ("etl_assets.cli.catalogue:replace", "Use a STIX 2.1 bundle in place of what is used."),
    "show": ("etl_assets.cli.catalogue:show", "List the catalogues in use."),
    "remove": ("etl_assets.cli.catalogue:remove", "Take a catalogue out of use."),
}

EXPORT: Mapping[str, tuple[str, str]] = {
    "stix": ("etl_assets.cli.export:stix", "Write a STIX 2.1 bundle of a collection."),
    "parquet": ("etl_assets.cli.export:parquet", "Write mentions, relations, labels and entities as Parquet."),
}

LABEL: Mapping[str, tuple[str, str]] = {
    "add": ("etl_assets.cli.label:add", "Say that a document has a label."),
    "remove": ("etl_assets.cli.label:remove", "Say that a document does not have a label."),
    "link": ("etl_assets.cli.label:link", "Say which entity a text in a document names."),
    "unlink": ("etl_assets.cli.label:unlink", "Say that a text in a document names nothing."),
    "list": ("etl_assets.cli.label:list_labels", "List what was corrected, by whom and when."),
    "undo": ("etl_assets.cli.label:undo", "Take a correction back."),
    "calibrate": ("etl_assets.cli.label:calibrate", "Learn from corrections how far scores are off."),
}

GENERATION: Mapping[str, tuple[str, str]] = {
    "build": ("etl_assets.cli.generation:build", "Build another index beside the live one."),
    "list": ("etl_assets.cli.generation:list_generations", "Show the index generations in use."),
    "compare": ("etl_assets.cli.generation:compare", "Put what is being built beside what answers."),
    "promote": ("etl_assets.cli.generation:promote", "Let what was built answer, if it is good enough."),
    "rollback": ("etl_assets.cli.generation:rollback", "Let the one that was replaced answer again."),
    "collect": ("etl_assets.cli.generation:collect", "Give up the one that was replaced."),
}

BACKUP: Mapping[str, tuple[str, str]] = {
    "list": ("etl_assets.cli.backup:list_backups", "List finished backups."),
    "prune": ("etl_assets.cli.backup:prune", "Forget old backups, and what only they named."),
}

KEYS: Mapping[str, tuple[str, str]] = {
    "create": ("etl_assets.cli.keys:create", "Make a key file."),
    "status": ("etl_assets.cli.keys:status", "Show what wraps how many data keys."),
    "rotate": ("etl_assets.cli.keys:rotate", "Wrap every data key again under the current master key."),
    "encrypt": ("etl_assets.cli.keys:encrypt", "Encrypt what was stored before a master key was set."),
}

INDEX: Mapping[str, tuple[str, str]] = {
    "stats": ("etl_assets.cli.index:stats", "Rows, sizes and generation of every index."),
    "rebuild": ("etl_assets.cli.index:rebuild", "Publish everything of a store anew, from the lake."),
}

SECRETS: Mapping[str, tuple[str, str]] = {
    "rotate": ("etl_assets.cli.secrets:rotate", "Put a new value into use once its backend accepted it."),
}

BACKENDS: Mapping[str, tuple[str, str]] = {
    "check": ("etl_assets.cli.backends:check", "Reachable, version, latency, rights and limits of each."),
}


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"etl-assets {version('etl-assets')}")
        ctx.exit()


root = LazyGroup(
    COMMANDS,
    name="etl-assets",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Documents in, cited answers out. Everything is below $ETL_HOME (default: ./data).",
    epilog="Exit codes: 0 done, 1 something failed, 2 wrong command line or setting, 130 interrupted.",
    params=[
        click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the stack of an error."),
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
            help="Show the version and exit.",
        ),
    ],
)  # fmt: skip

document = LazyGroup(DOCUMENT, name="document", help="Add, remove, list and explain documents.")

collection = LazyGroup(COLLECTION, name="collection", help="Delete whole collections.")

tenant = LazyGroup(TENANT, name="tenant", help="Delete all that a tenant has.")

certificate = LazyGroup(CERTIFICATE, name="certificate", help="List and check what proves a deletion.")

history = LazyGroup(HISTORY, name="history", help="Remove what was kept long enough.")

runs = LazyGroup(RUNS, name="runs", help="List, show and cancel runs.")

quarantine = LazyGroup(QUARANTINE, name="quarantine", help="Show what could not be processed, and try it again.")

searches = LazyGroup(SEARCHES, name="searches", help="Searches that were saved with `search --save`.")

label = DocumentFirst(LABEL, name="label", help="Correct labels and links of one document, and learn from it.")

entity = LazyGroup(ENTITY, name="entity", help="Ask the graph of what documents name, and correct it.")

catalogue = LazyGroup(CATALOGUE, name="catalogue", help="The names that documents are linked to.")

export = LazyGroup(EXPORT, name="export", help="Write what was found in documents for other programs.")

importing = LazyGroup(IMPORT, name="import", help="Bring in an index of another system with its vectors.")

generation = LazyGroup(GENERATION, name="generation", help="Change a collection's model or chunking while it answers.")


def _back_up(ctx: click.Context, /, to: tuple[str, ...], as_json: bool) -> int | None:
    if ctx.invoked_subcommand is not None:
        return None
    from etl_assets.cli.backup import back_up

    return back_up(to, as_json)


backup = LazyGroup(
    BACKUP,
    name="backup",
    invoke_without_command=True,
    callback=click.pass_context(_back_up),
    help="Back up a home at one moment, while work goes on; list backups and prune them.",
    params=[
        click.Option(
            ["--to"], metavar="TARGET", multiple=True,
            help="A folder or s3://bucket/prefix; may be given twice. ETL_BACKUP_TARGETS without it.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON for programs, one object a line."),
    ],
)  # fmt: skip

keys = LazyGroup(KEYS, name="keys", help="Make, rotate and list the keys of encryption at rest.")

backends = LazyGroup(BACKENDS, name="backends", help="Try the backend of every role.")

index = LazyGroup(INDEX, name="index", help="Measure the indexes, and build them anew.")

secrets = LazyGroup(SECRETS, name="secrets", help="Change secrets that a store holds.")
