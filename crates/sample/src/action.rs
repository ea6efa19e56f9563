//! What principals of an organization do: one row for each kind of call.
//!
//! The texts are JSON with holes (`%b` is a bucket, `%A` the account, see
//! [`crate::draft`]); the same hole has the same filling throughout a record.

/// A class of principals, as a bit, so that an action can name several.
pub(crate) type Classes = u8;

/// People who signed in by single sign-on.
pub(crate) const PEOPLE: Classes = 1;
/// Roles of instances, functions and tasks.
pub(crate) const APPS: Classes = 2;
/// The role that deploys, assumed from the tooling account.
pub(crate) const PIPELINE: Classes = 4;
/// The role that audits, assumed from the security account.
pub(crate) const AUDITOR: Classes = 8;
/// Roles that AWS services act through.
pub(crate) const SERVICES: Classes = 16;
/// IAM users with access keys.
pub(crate) const USERS: Classes = 32;
/// The account's root user.
pub(crate) const ROOT: Classes = 64;

/// The shape of a record that an action leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An API call on the control plane.
    Management,
    /// An API call on data.
    Data,
    /// A sign-in to the console.
    SignIn,
    /// Something AWS did by itself.
    ServiceEvent,
    /// A data-plane service reporting one thing it did by itself.
    ServiceDataEvent,
    /// A call seen by a VPC endpoint.
    Network,
}

/// How a call failed: the code and the message, with holes.
pub(crate) type Failure = (&'static str, &'static str);

/// One kind of call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) read_only: bool,
    pub(crate) kind: Kind,
    pub(crate) classes: Classes,
    pub(crate) weight: u32,
    pub(crate) api_version: &'static str,
    pub(crate) host: &'static str,
    pub(crate) request: &'static str,
    pub(crate) response: &'static str,
    pub(crate) additional: &'static str,
    pub(crate) resources: &'static str,
    pub(crate) details: &'static str,
    pub(crate) failures: &'static [Failure],
}

/// Failures of a call that nothing special is known about.
pub(crate) const DENIED: &[Failure] = &[(
    "AccessDenied",
    "User: %P is not authorized to perform: %S:%E on resource: * because no identity-based policy allows the %S:%E action",
)];

const THROTTLED: &[Failure] = &[
    (
        "AccessDenied",
        "User: %P is not authorized to perform: %S:%E on resource: * because no identity-based policy allows the %S:%E action",
    ),
    ("ThrottlingException", "Rate exceeded"),
    ("ThrottlingException", "Rate exceeded"),
];

const EC2_DENIED: &[Failure] = &[
    (
        "Client.UnauthorizedOperation",
        "You are not authorized to perform this operation. User: %P is not authorized to perform: ec2:%E because no identity-based policy allows the ec2:%E action. Encoded authorization failure message: %t",
    ),
    ("Client.RequestLimitExceeded", "Request limit exceeded."),
    ("Client.InvalidInstanceID.NotFound", "The instance ID '%i' does not exist"),
];

const S3_DENIED: &[Failure] =
    &[("AccessDenied", "Access Denied"), ("NoSuchKey", "The specified key does not exist.")];

const BUCKET_CONFIG: &[Failure] = &[
    ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    ("AccessDenied", "Access Denied"),
];

const NOT_FOUND: &[Failure] = &[
    ("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
    (
        "AccessDeniedException",
        "User: %P is not authorized to perform: %S:%E on resource: %s because no identity-based policy allows the %S:%E action",
    ),
];

const S3_DATA: &str = r#"{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"SSEApplied":"SSE_KMS","AuthenticationMethod":"AuthHeader","x-amz-id-2":"%x","bytesTransferredOut":%N}"#;
const S3_MANAGEMENT: &str = r#"{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"%x","bytesTransferredOut":%n}"#;
const OBJECT: &str = r#"[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::%b/%k"},{"accountId":"%A","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::%b"}]"#;
const BUCKET: &str = r#"[{"accountId":"%A","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::%b"}]"#;
const KEY: &str = r#"[{"accountId":"%A","type":"AWS::KMS::Key","ARN":"arn:aws:kms:%R:%A:key/%K"}]"#;

impl Action {
    pub(crate) const fn read(service: &'static str, name: &'static str) -> Self {
        Self {
            service,
            name,
            read_only: true,
            kind: Kind::Management,
            classes: 0,
            weight: 0,
            api_version: "",
            host: "",
            request: "null",
            response: "null",
            additional: "",
            resources: "",
            details: "",
            failures: DENIED,
        }
    }

    pub(crate) const fn write(service: &'static str, name: &'static str) -> Self {
        let mut action = Self::read(service, name);
        action.read_only = false;
        action
    }

    const fn by(mut self, classes: Classes, weight: u32) -> Self {
        self.classes = classes;
        self.weight = weight;
        self
    }

    pub(crate) const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) const fn asks(mut self, request: &'static str) -> Self {
        self.request = request;
        self
    }

    pub(crate) const fn answers(mut self, response: &'static str) -> Self {
        self.response = response;
        self
    }

    pub(crate) const fn adds(mut self, additional: &'static str) -> Self {
        self.additional = additional;
        self
    }

    pub(crate) const fn on(mut self, resources: &'static str) -> Self {
        self.resources = resources;
        self
    }

    const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    const fn version(mut self, api_version: &'static str) -> Self {
        self.api_version = api_version;
        self
    }

    const fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    const fn fails(mut self, failures: &'static [Failure]) -> Self {
        self.failures = failures;
        self
    }

    /// A call on one object of a bucket, which leaves a data event.
    pub(crate) const fn object(self) -> Self {
        self.kind(Kind::Data)
            .asks(r#"{"bucketName":"%b","Host":"%b.s3.%R.amazonaws.com","key":"%k"}"#)
            .adds(S3_DATA)
            .on(OBJECT)
            .host("%b.s3.%R.amazonaws.com")
            .fails(S3_DENIED)
    }

    const fn bucket(self) -> Self {
        self.asks(r#"{"bucketName":"%b","Host":"%b.s3.%R.amazonaws.com"}"#)
            .adds(S3_MANAGEMENT)
            .on(BUCKET)
            .host("%b.s3.%R.amazonaws.com")
            .fails(BUCKET_CONFIG)
    }

    /// A call to EC2.
    pub(crate) const fn ec2(self) -> Self {
        self.fails(EC2_DENIED)
    }

    /// Whether the service has one endpoint for all regions.
    pub(crate) fn is_global(&self) -> bool {
        matches!(self.service, "iam" | "organizations" | "route53" | "cloudfront" | "signin")
    }
}

/// Everything that principals do apart from beginning a session.
pub(crate) const ACTIONS: &[Action] = &[
    // Objects: the bulk of the data events.
    Action::read("s3", "GetObject").by(APPS | USERS, 330).object().answers("null"),
    Action::write("s3", "PutObject")
        .by(APPS | USERS | SERVICES, 130)
        .object()
        .answers(r#"{"x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:%R:%A:key/%K"}"#),
    Action::read("s3", "HeadObject").by(APPS, 60).object(),
    Action::write("s3", "DeleteObject").by(APPS | USERS, 15).object(),
    Action::read("s3", "ListObjects").by(APPS | USERS, 40).bucket().kind(Kind::Data),
    Action::write("s3", "DeleteObject")
        .by(SERVICES, 4)
        .kind(Kind::ServiceDataEvent)
        .asks(r#"{"bucketName":"%b","key":"%k"}"#)
        .on(OBJECT),
    // Buckets.
    Action::read("s3", "ListBuckets")
        .by(PEOPLE | AUDITOR | USERS, 20)
        .asks(r#"{"Host":"s3.%R.amazonaws.com"}"#)
        .adds(S3_MANAGEMENT),
    Action::read("s3", "GetBucketAcl").by(PEOPLE | AUDITOR | SERVICES, 40).bucket(),
    Action::read("s3", "GetBucketPolicy").by(PEOPLE | AUDITOR, 30).bucket(),
    Action::read("s3", "GetBucketEncryption").by(PEOPLE | AUDITOR, 30).bucket(),
    Action::read("s3", "GetBucketPublicAccessBlock").by(PEOPLE | AUDITOR, 30).bucket(),
    Action::read("s3", "GetBucketVersioning").by(PEOPLE | AUDITOR, 20).bucket(),
    Action::write("s3", "PutBucketLifecycle").by(PIPELINE | PEOPLE, 3).bucket().fails(S3_DENIED),
    // Keys: services decrypt on behalf of whoever reads.
    Action::read("kms", "Decrypt")
        .by(APPS | SERVICES | USERS, 190)
        .version("2014-11-01")
        .asks(r#"{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::%b/%k"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#)
        .adds(r#"{"keyMaterialId":"%h%h"}"#)
        .on(KEY),
    Action::read("kms", "GenerateDataKey")
        .by(APPS | SERVICES, 110)
        .asks(r#"{"keyId":"arn:aws:kms:%R:%A:key/%K","encryptionContext":{"aws:s3:arn":"arn:aws:s3:::%b/%k"},"keySpec":"AES_256"}"#)
        .adds(r#"{"keyMaterialId":"%h%h"}"#)
        .on(KEY),
    Action::read("kms", "DescribeKey").by(AUDITOR | PEOPLE, 20).asks(r#"{"keyId":"%K"}"#).on(KEY),
    Action::read("kms", "ListAliases").by(AUDITOR | PEOPLE, 12).asks(r#"{"limit":100}"#),
    Action::write("kms", "RotateKey")
        .by(SERVICES, 1)
        .kind(Kind::ServiceEvent)
        .on(KEY)
        .details(r#"{"rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS","previousKeyMaterialId":"%h%h","currentKeyMaterialId":"%h%h","keyId":"%K"}"#),
    // Who am I.
    Action::read("sts", "GetCallerIdentity").by(APPS | PIPELINE | USERS | PEOPLE, 45),
    // Instances and networks.
    Action::read("ec2", "DescribeInstances")
        .by(PEOPLE | AUDITOR | SERVICES | APPS, 90)
        .asks(r#"{"instancesSet":{},"filterSet":{"items":[{"name":"tag:Environment","valueSet":{"items":[{"value":"%e"}]}}]}}"#)
        .ec2(),
    Action::read("ec2", "DescribeInstanceStatus")
        .by(PEOPLE | SERVICES, 40)
        .asks(r#"{"instancesSet":{"items":[{"instanceId":"%i"}]},"filterSet":{},"includeAllInstances":true}"#)
        .ec2(),
    Action::read("ec2", "DescribeSecurityGroups")
        .by(PEOPLE | AUDITOR, 45)
        .asks(r#"{"securityGroupSet":{},"securityGroupIdSet":{"items":[{"groupId":"%g"}]},"filterSet":{}}"#)
        .ec2(),
    Action::read("ec2", "DescribeVolumes").by(AUDITOR | SERVICES, 35).asks(r#"{"volumeSet":{},"filterSet":{}}"#).ec2(),
    Action::read("ec2", "DescribeNetworkInterfaces")
        .by(AUDITOR | SERVICES, 55)
        .asks(r#"{"networkInterfaceIdSet":{},"filterSet":{"items":[{"name":"vpc-id","valueSet":{"items":[{"value":"%v"}]}}]}}"#)
        .ec2(),
    Action::read("ec2", "DescribeSubnets")
        .by(AUDITOR | PIPELINE | PEOPLE, 25)
        .asks(r#"{"subnetSet":{"items":[{"subnetId":"%z"}]},"filterSet":{}}"#)
        .ec2(),
    Action::read("ec2", "DescribeRouteTables").by(AUDITOR | PIPELINE, 20).asks(r#"{"routeTableIdSet":{},"filterSet":{}}"#).ec2(),
    Action::write("ec2", "CreateTags")
        .by(PIPELINE | SERVICES | PEOPLE, 15)
        .asks(r#"{"resourcesSet":{"items":[{"resourceId":"%i"}]},"tagSet":{"items":[{"key":"Environment","value":"%e"},{"key":"aws:autoscaling:groupName","value":"asg-%c"}]}}"#)
        .answers(r#"{"requestId":"%U","_return":true}"#)
        .ec2(),
    Action::write("ec2", "RunInstances")
        .by(SERVICES | PIPELINE, 8)
        .asks(r#"{"instancesSet":{"items":[{"imageId":"ami-%h","minCount":1,"maxCount":1,"keyName":"ops-%e"}]},"instanceType":"%q","subnetId":"%z","monitoring":{"enabled":false},"disableApiTermination":false,"disableApiStop":false,"clientToken":"%U","ebsOptimized":true,"launchTemplate":{"launchTemplateId":"lt-%h","version":"%n"}}"#)
        .answers(r#"{"requestId":"%U","reservationId":"r-%h","ownerId":"%A","groupSet":{},"instancesSet":{"items":[{"instanceId":"%i","imageId":"ami-%h","currentState":{"code":0,"name":"pending"},"privateDnsName":"ip-10-20-%n-17.%R.compute.internal","amiLaunchIndex":0,"productCodes":{},"instanceType":"%q","launchTime":%M,"placement":{"availabilityZone":"%Ra","tenancy":"default"},"monitoring":{"state":"disabled"},"subnetId":"%z","vpcId":"%v","privateIpAddress":"10.20.%n.17","stateReason":{"code":"pending","message":"pending"},"architecture":"arm64","rootDeviceType":"ebs","rootDeviceName":"/dev/xvda","virtualizationType":"hvm","hypervisor":"xen","groupSet":{"items":[{"groupId":"%g","groupName":"default"}]},"ebsOptimized":true,"metadataOptions":{"state":"pending","httpTokens":"required","httpPutResponseHopLimit":2,"httpEndpoint":"enabled"}}]}}"#)
        .ec2(),
    Action::write("ec2", "TerminateInstances")
        .by(SERVICES | PEOPLE, 6)
        .asks(r#"{"instancesSet":{"items":[{"instanceId":"%i"}]}}"#)
        .answers(r#"{"requestId":"%U","instancesSet":{"items":[{"instanceId":"%i","currentState":{"code":32,"name":"shutting-down"},"previousState":{"code":16,"name":"running"}}]}}"#)
        .ec2(),
    Action::write("ec2", "AuthorizeSecurityGroupIngress")
        .by(PEOPLE | PIPELINE, 3)
        .asks(r#"{"groupId":"%g","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"groups":{},"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8","description":"internal"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}"#)
        .answers(r#"{"requestId":"%U","_return":true,"securityGroupRuleSet":{"items":[{"groupOwnerId":"%A","groupId":"%g","securityGroupRuleId":"sgr-%h","isEgress":false,"ipProtocol":"tcp","fromPort":443,"toPort":443,"cidrIpv4":"10.0.0.0/8"}]}}"#)
        .ec2(),
    Action::write("ec2", "CreateSnapshot")
        .by(SERVICES | USERS, 6)
        .asks(r#"{"volumeId":"vol-%h","description":"nightly %e"}"#)
        .answers(r#"{"requestId":"%U","snapshotId":"snap-%h","volumeId":"vol-%h","status":"pending","startTime":%M,"progress":"","ownerId":"%A","volumeSize":100,"description":"nightly %e","encrypted":true}"#)
        .ec2(),
    // Identities.
    Action::read("iam", "ListRoles").by(AUDITOR | PEOPLE, 18).version("2010-05-08").asks(r#"{"maxItems":1000}"#),
    Action::read("iam", "GetRole").by(AUDITOR | PIPELINE | PEOPLE, 45).asks(r#"{"roleName":"%r"}"#),
    Action::read("iam", "ListAttachedRolePolicies").by(AUDITOR | PIPELINE, 40).asks(r#"{"roleName":"%r"}"#),
    Action::read("iam", "ListUsers").by(AUDITOR | PEOPLE, 10),
    Action::read("iam", "GetAccountSummary").by(AUDITOR | ROOT, 8),
    Action::read("iam", "ListMFADevices").by(AUDITOR | ROOT | PEOPLE, 10).asks(r#"{"userName":"%u"}"#),
    Action::write("iam", "CreateRole")
        .by(PIPELINE, 4)
        .asks(r#"{"roleName":"%r","path":"/","assumeRolePolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"lambda.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}","maxSessionDuration":3600}"#)
        .answers(r#"{"role":{"path":"/","roleName":"%r","roleId":"AROA%d","arn":"arn:aws:iam::%A:role/%r","createDate":"%T"}}"#),
    Action::write("iam", "AttachRolePolicy")
        .by(PIPELINE, 4)
        .asks(r#"{"roleName":"%r","policyArn":"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}"#),
    Action::write("iam", "CreateAccessKey")
        .by(USERS | PEOPLE, 1)
        .asks(r#"{"userName":"%u"}"#)
        .answers(r#"{"accessKey":{"userName":"%u","accessKeyId":"AKIA%d","status":"Active","createDate":"%T"}}"#),
    // Secrets and parameters.
    Action::read("secretsmanager", "GetSecretValue")
        .by(APPS | PIPELINE, 60)
        .asks(r#"{"secretId":"arn:aws:secretsmanager:%R:%A:secret:%s"}"#)
        .fails(NOT_FOUND),
    Action::read("secretsmanager", "DescribeSecret").by(PEOPLE | AUDITOR, 12).asks(r#"{"secretId":"%s"}"#).fails(NOT_FOUND),
    Action::write("secretsmanager", "RotateSecret")
        .by(SERVICES, 2)
        .asks(r#"{"secretId":"arn:aws:secretsmanager:%R:%A:secret:%s","clientRequestToken":"%U","rotateImmediately":true}"#)
        .answers(r#"{"aRN":"arn:aws:secretsmanager:%R:%A:secret:%s","name":"%s","versionId":"%U"}"#)
        .fails(NOT_FOUND),
    Action::read("ssm", "GetParameter")
        .by(APPS | PIPELINE, 70)
        .asks(r#"{"name":"%p","withDecryption":true}"#)
        .on(r#"[{"accountId":"%A","ARN":"arn:aws:ssm:%R:%A:parameter%p"}]"#)
        .fails(THROTTLED),
    Action::write("ssm", "UpdateInstanceInformation")
        .by(APPS, 80)
        .asks(r#"{"instanceId":"%i","agentVersion":"3.3.1957.0","agentStatus":"Active","platformType":"Linux","platformName":"Amazon Linux","platformVersion":"2023","iPAddress":"10.20.4.17","computerName":"ip-10-20-4-17.%R.compute.internal","agentName":"amazon-ssm-agent","availabilityZone":"%Ra","availabilityZoneId":"use1-az4"}"#)
        .fails(THROTTLED),
    Action::write("ssm", "StartSession")
        .by(PEOPLE, 3)
        .asks(r#"{"target":"%i"}"#)
        .answers(r#"{"sessionId":"%u-%h","tokenValue":"Value hidden due to security reasons.","streamUrl":"wss://ssmmessages.%R.amazonaws.com/v1/data-channel/%u-%h?role=publish_subscribe"}"#),
    // Functions.
    Action::read("lambda", "Invoke")
        .by(APPS | SERVICES, 60)
        .kind(Kind::Data)
        .asks(r#"{"functionName":"arn:aws:lambda:%R:%A:function:%f","invocationType":"Event"}"#)
        .adds(r#"{"functionVersion":"arn:aws:lambda:%R:%A:function:%f:$LATEST"}"#)
        .on(r#"[{"accountId":"%A","type":"AWS::Lambda::Function","ARN":"arn:aws:lambda:%R:%A:function:%f"}]"#),
    Action::read("lambda", "ListFunctions20150331").by(PEOPLE | AUDITOR, 20).version("2015-03-31").asks(r#"{"maxItems":50}"#).fails(THROTTLED),
    Action::read("lambda", "GetFunction20150331v2").by(PEOPLE | PIPELINE, 20).asks(r#"{"functionName":"%f"}"#),
    Action::write("lambda", "UpdateFunctionCode20150331v2")
        .by(PIPELINE, 10)
        .asks(r#"{"functionName":"%f","s3Bucket":"%b","s3Key":"%k","dryRun":false,"publish":false}"#)
        .answers(r#"{"functionName":"%f","functionArn":"arn:aws:lambda:%R:%A:function:%f","runtime":"python3.13","role":"arn:aws:iam::%A:role/%r","handler":"index.handler","codeSize":%N,"description":"","timeout":30,"memorySize":512,"lastModified":"%T","codeSha256":"%y","version":"$LATEST","tracingConfig":{"mode":"Active"},"revisionId":"%U","state":"Active","lastUpdateStatus":"InProgress","packageType":"Zip","architectures":["arm64"],"ephemeralStorage":{"size":512}}"#),
    // Tables.
    Action::read("dynamodb", "GetItem")
        .by(APPS, 40)
        .kind(Kind::Data)
        .version("2012-08-10")
        .asks(r#"{"tableName":"%m","key":{"pk":"HIDDEN_DUE_TO_SECURITY_REASONS"},"consistentRead":false}"#)
        .on(r#"[{"accountId":"%A","type":"AWS::DynamoDB::Table","ARN":"arn:aws:dynamodb:%R:%A:table/%m"}]"#),
    Action::read("dynamodb", "DescribeTable")
        .by(APPS | AUDITOR | PEOPLE, 30)
        .asks(r#"{"tableName":"%m"}"#)
        .on(r#"[{"accountId":"%A","type":"AWS::DynamoDB::Table","ARN":"arn:aws:dynamodb:%R:%A:table/%m"}]"#),
    // Logs and metrics.
    Action::write("logs", "CreateLogStream")
        .by(APPS | SERVICES, 70)
        .version("20140328")
        .asks(r#"{"logGroupName":"/aws/lambda/%f","logStreamName":"%D/[$LATEST]%h%h"}"#)
        .fails(&[("ResourceAlreadyExistsException", "The specified log stream already exists"), ("ResourceNotFoundException", "The specified log group does not exist.")]),
    Action::read("logs", "DescribeLogGroups").by(PEOPLE | AUDITOR, 25).asks(r#"{"limit":50,"logGroupNamePrefix":"/aws/lambda/"}"#).fails(THROTTLED),
    Action::read("monitoring", "DescribeAlarms").by(SERVICES | PEOPLE | AUDITOR, 45).asks(r#"{"maxRecords":100}"#),
    // Fleets, containers, databases.
    Action::read("autoscaling", "DescribeAutoScalingGroups").by(SERVICES | PEOPLE, 40).asks(r#"{"maxRecords":100}"#),
    Action::read("elasticloadbalancing", "DescribeTargetHealth")
        .by(SERVICES | APPS, 60)
        .version("2015-12-01")
        .asks(r#"{"targetGroupArn":"arn:aws:elasticloadbalancing:%R:%A:targetgroup/%c/%h"}"#),
    Action::read("ecs", "DescribeServices")
        .by(PIPELINE | PEOPLE | SERVICES, 30)
        .asks(r#"{"cluster":"%c","services":["arn:aws:ecs:%R:%A:service/%c/web"]}"#),
    Action::write("ecs", "RegisterTaskDefinition")
        .by(PIPELINE, 5)
        .asks(r#"{"family":"%c-web","executionRoleArn":"arn:aws:iam::%A:role/%r","networkMode":"awsvpc","requiresCompatibilities":["FARGATE"],"cpu":"512","memory":"1024","containerDefinitions":[{"name":"web","image":"%A.dkr.ecr.%R.amazonaws.com/%c:%h","essential":true,"portMappings":[{"containerPort":8080,"protocol":"tcp"}]}]}"#)
        .answers(r#"{"taskDefinition":{"taskDefinitionArn":"arn:aws:ecs:%R:%A:task-definition/%c-web:%n","family":"%c-web","revision":%n,"status":"ACTIVE","registeredBy":"%P"}}"#),
    Action::read("ecr", "BatchGetImage")
        .by(APPS | PIPELINE | SERVICES, 30)
        .asks(r#"{"registryId":"%A","repositoryName":"%c","imageIds":[{"imageTag":"%h"}],"acceptedMediaTypes":["application/vnd.docker.distribution.manifest.v2+json"]}"#)
        .on(r#"[{"accountId":"%A","ARN":"arn:aws:ecr:%R:%A:repository/%c"}]"#),
    Action::read("ecr", "GetAuthorizationToken").by(APPS | PIPELINE, 25),
    Action::read("rds", "DescribeDBInstances").by(AUDITOR | PEOPLE | SERVICES, 35).version("2014-10-31").asks(r#"{"maxRecords":100}"#),
    Action::write("rds", "CreateDBSnapshot")
        .by(SERVICES | USERS, 3)
        .asks(r#"{"dBSnapshotIdentifier":"nightly-%h","dBInstanceIdentifier":"%c-db"}"#)
        .answers(r#"{"dBSnapshotIdentifier":"nightly-%h","dBInstanceIdentifier":"%c-db","engine":"postgres","allocatedStorage":100,"status":"creating","port":5432,"availabilityZone":"%Ra","vpcId":"%v","encrypted":true,"kmsKeyId":"arn:aws:kms:%R:%A:key/%K"}"#),
    // Deployment.
    Action::read("cloudformation", "DescribeStacks").by(PIPELINE | PEOPLE, 40).version("2010-05-15").asks(r#"{"stackName":"%c-stack"}"#).fails(THROTTLED),
    Action::write("cloudformation", "CreateChangeSet")
        .by(PIPELINE, 6)
        .asks(r#"{"stackName":"%c-stack","changeSetName":"deploy-%h","changeSetType":"UPDATE","capabilities":["CAPABILITY_NAMED_IAM"],"templateURL":"https://%b.s3.%R.amazonaws.com/%k","parameters":[{"parameterKey":"Environment","parameterValue":"HIDDEN_DUE_TO_SECURITY_REASONS"}]}"#)
        .answers(r#"{"id":"arn:aws:cloudformation:%R:%A:changeSet/deploy-%h/%U","stackId":"arn:aws:cloudformation:%R:%A:stack/%c-stack/%U"}"#),
    Action::write("cloudformation", "ExecuteChangeSet").by(PIPELINE, 6).asks(r#"{"stackName":"%c-stack","changeSetName":"deploy-%h"}"#),
    // Security services and the organization.
    Action::read("guardduty", "ListDetectors").by(AUDITOR, 12),
    Action::read("config", "DescribeConfigurationRecorderStatus").by(AUDITOR | SERVICES, 25),
    Action::read("cloudtrail", "DescribeTrails").by(AUDITOR | PEOPLE, 12).asks(r#"{"includeShadowTrails":true}"#),
    Action::read("organizations", "ListAccounts").by(AUDITOR, 6).fails(&[(
        "AWSOrganizationsNotInUseException",
        "Your account is not a member of an organization.",
    )]),
    Action::read("organizations", "DescribeOrganization").by(PEOPLE | SERVICES, 8),
    Action::read("health", "DescribeEventAggregates")
        .by(PEOPLE | ROOT, 25)
        .asks(r#"{"filter":{"eventStatusCodes":["open","upcoming"],"startTimes":[{"from":"%T"}]},"aggregateField":"eventTypeCategory"}"#),
    // Endpoints in a VPC report what passes through them.
    Action::read("secretsmanager", "GetSecretValue").by(APPS, 5).kind(Kind::Network).on(r#"[{"accountId":"%A","type":"AWS::SecretsManager::Secret","ARN":"arn:aws:secretsmanager:%R:%A:secret:%s"}]"#).fails(&[
        ("VpceAccessDenied", "The request was denied due to a VPC endpoint policy"),
    ]),
    // Signing in with a password.
    Action::write("signin", "ConsoleLogin").by(USERS | ROOT, 6).kind(Kind::SignIn).fails(&[("", "Failed authentication")]),
];
