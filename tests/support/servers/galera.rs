//! A cluster of MariaDB nodes that replicate synchronously (Galera).

use super::*;

/// A cluster of MariaDB servers that all take writes (Galera), with the same database and users as
/// a `Database`. Nodes are numbered from 1.
///
/// A write is certain to show on another node only if the reader's session has set
/// `wsrep_sync_wait`. After `kill9`, writes on the other nodes wait until these agree that the node
/// is gone, which takes about six seconds; unless they are more than half, they then refuse writes.
pub struct Cluster {
    folder: PathBuf,
    template: PathBuf,
    server: PathBuf,
    client: PathBuf,
    version: String,
    nodes: Vec<Node>,
}

/// The ports stay the same over `stop`, `kill9` and `restart`.
struct Node {
    port: u16,
    replication_port: u16,
    /// Where it receives the writes that it has missed.
    catch_up_port: u16,
    /// Where it receives all data, if it has missed more than the others have kept.
    copy_port: u16,
    running: Option<Running>,
}

impl Cluster {
    /// Starts a cluster with an empty database `metrics` and waits until all nodes are one cluster
    /// and answer.
    ///
    /// `None` if Galera was not prepared.
    ///
    /// # Panics
    /// If it was prepared and does not start, or if it is missing and everything is required.
    pub fn start(nodes: usize) -> Option<Cluster> {
        assert!(nodes > 1, "a cluster has several nodes");
        let template = prepared("ROLLUP_GALERA_TEMPLATE", "Galera")?;
        let mut tries = 1;
        loop {
            match Cluster::try_start(&template, nodes) {
                Ok(cluster) => return Some(cluster),
                // Someone else may have taken a port between the check and the server's start.
                Err(log) if tries < START_TRIES_MAX && log.contains("Address already in use") => tries += 1,
                Err(log) => panic!("the cluster did not start:\n{log}"),
            }
        }
    }

    fn try_start(template: &Path, nodes: usize) -> Result<Cluster, String> {
        let mut cluster = Cluster {
            folder: fresh_folder("galera"),
            template: template.to_owned(),
            server: program("mariadbd"),
            client: program("mariadb"),
            version: String::new(),
            nodes: (0..nodes).map(|_| Node::new()).collect(),
        };
        for node in 1..=nodes {
            let folder = cluster.node_folder(node);
            fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            copy_folder(&template.join("data"), &folder.join("data"));
            let view = folder.join("data/gvwstate.dat");
            fs::write(&view, last_view(node, nodes)).unwrap_or_else(|error| panic!("{}: {error}", view.display()));
        }
        for node in 1..=nodes {
            cluster.spawn(node, None);
        }
        for node in 1..=nodes {
            cluster.wait_until_synced(node)?;
        }
        cluster.version = cluster.value(1, "SELECT VERSION()");
        Ok(cluster)
    }

    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The port on 127.0.0.1. It stays the same over `stop`, `kill9` and `restart`.
    pub fn port(&self, node: usize) -> u16 {
        self.node(node).port
    }

    /// As the servers say it, for example `10.11.14-MariaDB`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// An address as the configuration takes it. The parts are used as they are, so escape what
    /// an address does not allow.
    pub fn url(&self, node: usize, user: &str, password: &str, database: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{database}", self.port(node))
    }

    /// The address of `metrics` for the user `rollup`.
    pub fn default_url(&self, node: usize) -> String {
        self.url(node, USER, PASSWORD, DATABASE)
    }

    /// The authority that signed the servers' certificate, which is valid for `localhost`,
    /// `127.0.0.1` and `::1`.
    pub fn ca_pem(&self) -> PathBuf {
        self.template.join("tls/ca.pem")
    }

    /// The node's own log, for the message of a failed test.
    pub fn log(&self, node: usize) -> String {
        fs::read_to_string(self.node_folder(node).join("error.log")).unwrap_or_default()
    }

    /// The id of the server process; `None` while it is stopped.
    pub fn pid(&self, node: usize) -> Option<u32> {
        self.node(node).running.as_ref().map(|running| running.server.id())
    }

    /// Stops a node in good order, so that the others know at once, and waits until it is gone. The
    /// data stays for `restart`.
    pub fn stop(&mut self, node: usize) {
        if let Some(running) = self.node_mut(node).running.take() {
            running.end("TERM");
        }
    }

    /// Kills a node as a crash would. The data stays for `restart`.
    pub fn kill9(&mut self, node: usize) {
        if let Some(running) = self.node_mut(node).running.take() {
            running.end("KILL");
        }
    }

    /// Starts a node again on the same ports and data, after stopping it if it runs, and waits until
    /// it has what the others have written in the meantime.
    ///
    /// # Panics
    /// If it does not start, or if too few of the other nodes are left to be a cluster.
    pub fn restart(&mut self, node: usize) {
        self.stop(node);
        assert!(self.running() > 0, "node {node} has no cluster to join");
        let restarted = self.position(node).and_then(|position| {
            // The last view is for the start of all nodes together. One that joins is slower with it, as
            // the others may still count the member that it was.
            let _ = fs::remove_file(self.node_folder(node).join("data/gvwstate.dat"));
            self.spawn(node, Some(&position));
            self.wait_until_synced(node)
        });
        if let Err(log) = restarted {
            panic!("node {node} did not start again:\n{log}");
        }
    }

    /// Runs one or more statements on a node as the database's administrator in the database
    /// `metrics`, and returns the rows of all of them. NULL is the string `NULL`.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn query(&self, node: usize, sql: &str) -> Vec<Vec<String>> {
        match self.try_query(node, sql) {
            Ok(rows) => rows,
            Err(error) => panic!("node {node}: {error}\nin: {sql}"),
        }
    }

    /// As `query`, with the client's error message if a statement fails.
    pub fn try_query(&self, node: usize, sql: &str) -> Result<Vec<Vec<String>>, String> {
        run_client(&self.client, &self.socket(node), sql)
    }

    /// The first column of the first row.
    ///
    /// # Panics
    /// If the statement fails or gives no row.
    pub fn value(&self, node: usize, sql: &str) -> String {
        let rows = self.query(node, sql);
        match rows.first().and_then(|row| row.first()) {
            Some(value) => value.clone(),
            None => panic!("node {node}: no row from: {sql}"),
        }
    }

    fn node(&self, node: usize) -> &Node {
        self.index(node).map_or_else(|| panic!("there is no node {node}"), |index| &self.nodes[index])
    }

    fn node_mut(&mut self, node: usize) -> &mut Node {
        match self.index(node) {
            Some(index) => &mut self.nodes[index],
            None => panic!("there is no node {node}"),
        }
    }

    fn index(&self, node: usize) -> Option<usize> {
        node.checked_sub(1).filter(|index| *index < self.nodes.len())
    }

    fn running(&self) -> usize {
        self.nodes.iter().filter(|node| node.running.is_some()).count()
    }

    fn node_folder(&self, node: usize) -> PathBuf {
        self.folder.join(node.to_string())
    }

    fn socket(&self, node: usize) -> PathBuf {
        self.node_folder(node).join("s")
    }

    /// The server of a node, with its log in the file of this name.
    fn command(&self, node: usize, log: &str) -> Command {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let members: Vec<String> = self.nodes.iter().map(|node| address(node.replication_port)).collect();
        let Node { port, replication_port, catch_up_port, copy_port, .. } = *self.node(node);
        // The last two say how much is kept for a node that was away: more than a test writes, and a
        // quarter of what it would be.
        let provider = format!(
            "base_host=127.0.0.1;base_port={replication_port};gmcast.listen_addr=tcp://127.0.0.1:{replication_port};\
             ist.recv_addr=127.0.0.1:{catch_up_port};gcache.size=32M;gcache.page_size=32M"
        );
        // The server looks for the scripts that move data in the path.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let scripts = [self.template.join("root/usr/bin")];
        let path = std::env::join_paths(scripts.into_iter().chain(std::env::split_paths(&path)))
            .expect("no colon in the path of the template");

        let folder = self.node_folder(node);
        let tls = self.template.join("tls");
        let log = folder.join(log);
        let mut command = Command::new(&self.server);
        command
            // This option must be the first one.
            .arg(option("defaults-file", self.template.join("server.cnf")))
            .arg(option("datadir", folder.join("data")))
            .arg(option("tmpdir", &folder))
            .arg(option("socket", self.socket(node)))
            .arg(option("pid-file", folder.join("pid")))
            .arg(option("log-error", &log))
            .arg(option("port", port.to_string()))
            .arg(option("ssl-ca", tls.join("ca.pem")))
            .arg(option("ssl-cert", tls.join("server.pem")))
            .arg(option("ssl-key", tls.join("server.key")))
            .arg(option("wsrep-on", "ON"))
            .arg(option("wsrep-provider", self.template.join("root/usr/lib/galera/libgalera_smm.so")))
            .arg(option("wsrep-provider-options", provider))
            // A node of another cluster that happens to call here is turned away by this name.
            .arg(option("wsrep-cluster-name", format!("rollup-{}", self.port(1))))
            .arg(option("wsrep-cluster-address", format!("gcomm://{}", members.join(","))))
            .arg(option("wsrep-node-name", format!("node{node}")))
            .arg(option("wsrep-node-address", address(replication_port)))
            .arg(option("wsrep-sst-receive-address", address(copy_port)))
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // What it has to say before it has opened its log.
            .stderr(append_to(&log));
        if user_is_root() {
            // The server refuses to run as root unless told so.
            command.arg("--user=root");
        }
        command
    }

    /// Starts the server of a node. Where its data stands in the cluster's history is known from the
    /// data if it is a copy of the template, and is `position` otherwise.
    ///
    /// A server that joins runs a script and rsync; these end by themselves at most two seconds after
    /// a server that was killed meanwhile.
    fn spawn(&mut self, node: usize, position: Option<&str>) {
        let mut command = self.command(node, "error.log");
        if let Some(position) = position {
            command.arg(option("wsrep-start-position", position));
        }
        // Left by a server that was killed.
        let _ = fs::remove_file(self.socket(node));
        self.node_mut(node).running = Some(Running::spawn(command, &self.folder));
    }

    /// Repairs the data of a stopped node and says where it stands in the cluster's history. Without
    /// this, a node that was killed would fetch all data anew. The error is the server's log.
    fn position(&self, node: usize) -> Result<String, String> {
        let log = self.node_folder(node).join("recovery.log");
        // The server appends to its log.
        let _ = fs::remove_file(&log);
        let mut command = self.command(node, "recovery.log");
        command.arg("--wsrep-recover");
        let mut running = Running::spawn(command, &self.folder);
        let begin = Instant::now();
        while let Ok(None) = running.server.try_wait() {
            if begin.elapsed() > START_MAX {
                running.end("KILL");
                return Err(format!("no end of its recovery in {START_MAX:?}"));
            }
            thread::sleep(POLL);
        }
        dismiss(running.guard);
        let log = fs::read_to_string(&log).unwrap_or_default();
        match log.lines().find_map(|line| line.split_once("Recovered position: ")) {
            Some((_, position)) => Ok(position.trim().to_owned()),
            None => Err(log),
        }
    }

    /// Waits until a node answers and is level with the others. The error is the log of the node that
    /// has ended meanwhile, or of this one if that takes too long.
    fn wait_until_synced(&mut self, node: usize) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            // A node that cannot start would let the others wait for it for a long time.
            for other in 1..=self.nodes.len() {
                let Some(running) = &mut self.node_mut(other).running else { continue };
                if let Ok(Some(status)) = running.server.try_wait() {
                    self.kill9(other);
                    return Err(format!("node {other}: {status}\n{}", self.log(other)));
                }
            }
            if self.is_synced(node) {
                return Ok(());
            }
            if begin.elapsed() > START_MAX {
                return Err(format!("node {node} is not level in {START_MAX:?}\n{}", self.log(node)));
            }
            thread::sleep(POLL);
        }
    }

    fn is_synced(&self, node: usize) -> bool {
        // Only the server that was just started has this socket, so an answer is its own.
        if !self.socket(node).exists() {
            return false;
        }
        let Ok(rows) = self.try_query(node, "SHOW GLOBAL STATUS LIKE 'wsrep_%'") else { return false };
        let is = |name: &str, value: &str| rows.iter().any(|row| *row == [name, value]);
        // The size shows that no other node is still counted that was killed a moment ago.
        is("wsrep_cluster_size", &self.running().to_string())
            && is("wsrep_local_state_comment", "Synced")
            && is("wsrep_ready", "ON")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The data goes away with it, so there is nothing that a shutdown in good order would save.
        for node in 1..=self.nodes.len() {
            self.kill9(node);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Node {
    fn new() -> Node {
        Node {
            port: free_port(),
            replication_port: free_port(),
            catch_up_port: free_port(),
            copy_port: free_port(),
            running: None,
        }
    }
}

/// What a node keeps on disk of the members it last saw, so that a cluster of which all nodes lost
/// power comes back by itself when all are there again. With this and the same data on all nodes,
/// they start together in three seconds; one joining after the other takes ten.
fn last_view(node: usize, nodes: usize) -> String {
    let id = |node: usize| format!("{node:08x}-0000-11ef-8000-000000000000");
    let members: String = (1..=nodes).map(|node| format!("member: {} 0\n", id(node))).collect();
    format!("my_uuid: {}\n#vwbeg\nview_id: 3 {} 1\nbootstrap: 0\n{members}#vwend\n", id(node), id(1))
}

fn append_to(file: &Path) -> fs::File {
    let opened = fs::File::options().append(true).create(true).open(file);
    opened.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
